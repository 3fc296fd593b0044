"""Pages in headless Chromium: what overflows at a width, what an accessibility checker (axe) finds, and how it prints."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
QUIET = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
QUIET += ["--disable-background-networking", "--disable-component-update", "--hide-scrollbars"]
PAPER = 680
"""Width of an A4 page without margins of 15 mm, in pixels of 1/96 inch."""
RULES = (
    "color-contrast", "document-title", "duplicate-id", "empty-heading", "heading-order", "html-has-lang", "image-alt", "label",
    "link-name", "list", "listitem", "svg-img-alt", "td-headers-attr", "th-has-data-cells", "page-has-heading-one", "button-name",
)  # fmt: skip
"""The rules of axe that a page has to keep."""
PROBE = """<script>
addEventListener("load", async () => {
  const out = {};
  const print = (rules) => { for (const rule of rules) {
    if (rule.media) rule.media.mediaText = /print/.test(rule.media.mediaText) ? "all" :
      /screen/.test(rule.media.mediaText) ? "not all" : rule.media.mediaText;
    if (rule.cssRules) print(rule.cssRules);
  } };
  if (ONPAPER) for (const sheet of document.styleSheets) print(sheet.cssRules);
  const inside = (e) => e.closest("svg, math, .md-sidebar, .md-search, .md-header, .md-overlay, .md-skip, SCROLLS");
  const hidden = (e) => { const s = getComputedStyle(e); return s.position === "absolute" && s.clipPath !== "none"; };
  const wide = [...document.querySelectorAll("main *, body > *")].filter((e) => !inside(e) && !e.closest("thead") &&
    !hidden(e) && e.getBoundingClientRect().right > innerWidth + 1);
  out.page = document.documentElement.scrollWidth - innerWidth;
  out.wide = wide.slice(0, 5).map((e) => e.tagName + "." + e.className + ": " + e.textContent.trim().slice(0, 40));
  out.cut = [...document.querySelectorAll("td, th, p, pre, li")].filter((e) => !inside(e) && !e.closest("thead") &&
    getComputedStyle(e).display !== "inline" && e.scrollWidth > e.clientWidth + 2).slice(0, 5)
    .map((e) => e.tagName + ": " + e.textContent.trim().slice(0, 40));
  out.flat = [...document.querySelectorAll("figure svg")].filter((e) => e.getBoundingClientRect().height < 50).length;
  out.figures = document.querySelectorAll("figure svg").length;
  out.details = document.querySelectorAll("details").length;
  out.empty = [...document.querySelectorAll("details")].filter((e) => ONPAPER && e.querySelector("summary") &&
    e.scrollHeight < e.querySelector("summary").offsetHeight + 10).map((e) => e.textContent.trim().slice(0, 40));
  out.loaded = performance.getEntriesByType("resource").map((e) => e.name).filter((n) => !n.startsWith("file:"));
  if (window.axe) {
    const result = await axe.run(document, {runOnly: {type: "rule", values: RULES}, resultTypes: ["violations"]});
    out.axe = result.violations.flatMap((v) => v.nodes.slice(0, 3).map((n) => v.id + " " + n.target.join(" ")));
  }
  document.title = "PROBED" + JSON.stringify(out);
});
</script>"""


def probe(page: Path, folder: Path, width: int, **how: Any) -> dict[str, Any]:
    """What one page is like (`probes`)."""
    return probes([page], folder, width, **how)[0]


def probes(
    pages: list[Path], folder: Path, width: int, *, axe: bool = False, paper: bool = False, scrolls: str = ".none"
) -> list[dict[str, Any]]:
    """What each page is like in a frame of so many pixels (headless Chromium has no window below 500); one browser for all.

    axe: also check it with axe. paper: with its rules for print. scrolls: a selector of what may scroll sideways within itself.
    """
    script = PROBE.replace("SCROLLS", scrolls).replace("RULES", json.dumps(RULES)).replace("ONPAPER", json.dumps(paper))
    if axe:
        import axe_core_python

        checker = (Path(axe_core_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
        script = f"<script>{checker}</script>{script}"
    probed = [page.with_name(f"probed-{page.name}") for page in pages]  # beside the page, so that its files are found
    try:
        for page, aside in zip(pages, probed, strict=True):
            text = page.read_text(encoding="utf-8")
            # a page that lets no script run would let ours not run either
            text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
            aside.write_text(text.replace("</head>", script + "</head>", 1), encoding="utf-8")
        outer = folder / "outer.html"
        outer.write_text(
            f'<iframe id="f" style="width:{width}px;height:2000px;border:0"></iframe><script>'
            f"const pages = {json.dumps([aside.as_uri() for aside in probed])}, out = [];"
            'const frame = document.getElementById("f"); frame.src = pages[0];'
            "const look = setInterval(() => { const page = frame.contentDocument;"
            'if (!page || !page.title.startsWith("PROBED")) return; out.push(JSON.parse(page.title.slice(6))); page.title = "";'
            "if (out.length < pages.length) { frame.src = pages[out.length]; return; }"
            'clearInterval(look); document.title = "PROBED" + JSON.stringify(out); }, 100);</script>',
            encoding="utf-8",
        )
        dom = chromium(
            outer,
            folder,
            "--dump-dom",
            f"--virtual-time-budget={30_000 * len(pages)}",
            "--allow-file-access-from-files",
            "--window-size=1500,2100",
            timeout=180 + 20 * len(pages),
        )
    finally:
        for aside in probed:
            aside.unlink(missing_ok=True)
    found = re.search(r"<title>PROBED(\[.*?\])</title>", dom, re.DOTALL)
    assert found, f"{[page.name for page in pages]}: {dom[-300:]}"
    import html

    results: list[dict[str, Any]] = json.loads(html.unescape(found[1]))
    return results


def chromium(page: Path, folder: Path, *arguments: str, timeout: float = 180) -> str:
    """What Chromium prints for a page."""
    command = [str(CHROMIUM), *QUIET, f"--user-data-dir={folder / 'profile'}", *arguments, page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=True).stdout


def policed(page: Path, folder: Path) -> tuple[str, list[str]]:
    """The page as it stands in the browser, and what its content security policy has refused."""
    logging = ["--enable-logging=stderr", "--dump-dom", "--virtual-time-budget=5000", "--allow-file-access-from-files"]
    command = [str(CHROMIUM), *QUIET, f"--user-data-dir={folder / 'profile'}", *logging, page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=True)
    return done.stdout, [line for line in done.stderr.splitlines() if "Content Security Policy" in line]


def sheets(page: Path, folder: Path) -> int:
    """How many sheets the page prints on."""
    paper = folder / "page.pdf"
    chromium(page, folder, f"--print-to-pdf={paper}", "--no-pdf-header-footer")
    content = paper.read_bytes()
    assert content.startswith(b"%PDF")
    return len(re.findall(rb"/Type\s*/Page\b", content))
