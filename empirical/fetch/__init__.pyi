from .catalog import CATALOG as CATALOG
from .fetching import PARTIAL as PARTIAL
from .fetching import cache_folder as cache_folder
from .fetching import fetch as fetch
from .fetching import folder_lock as folder_lock
from .fetching import sha256_of as sha256_of
