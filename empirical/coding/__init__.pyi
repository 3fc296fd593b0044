from .file import Header as Header
from .file import decode_file as decode_file
from .file import encode_file as encode_file
from .tokens import WINDOW as WINDOW
