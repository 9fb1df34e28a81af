"""The site builds strictly, asks nothing from outside, and every link and anchor leads somewhere."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest
from markdown.extensions.toc import slugify

from wi_testkit.documentation.fences import ROOT, find_pages, read_fences

LINK = re.compile(r"(?<!\!)\[[^\]]*\]\(([^)\s]+)[^)]*\)|!\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*$", re.MULTILINE)
FENCED = re.compile(r"^\s*(```+).*?^\s*\1\s*$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`]*`")
EXTERNAL = re.compile(r"^(https?:|mailto:)")
GENERATED_ID = re.compile(r'<a id="([^"]+)"')


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return folder


class Fetched(HTMLParser):
    """What a browser fetches by itself when it shows a page."""

    def __init__(self):
        super().__init__()
        self.addresses = []

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag in ("script", "img", "iframe", "source") and given.get("src"):
            self.addresses.append(given["src"])
        if tag == "link" and given.get("rel") in ("stylesheet", "preload", "icon", "preconnect", "dns-prefetch"):
            self.addresses.append(given["href"])


def test_the_site_asks_nothing_from_outside(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) >= 20
    for page in pages:
        parser = Fetched()
        parser.feed(page.read_text())
        outside = [each for each in parser.addresses if EXTERNAL.match(each) or each.startswith("//")]
        assert outside == [], page
    styles = [each.read_text() for each in site.rglob("*.css")]
    assert not any(re.search(r"url\(['\"]?(https?:)?//", each) for each in styles)


def test_every_fence_is_shown_as_one(site):
    """A fence that is indented wrongly is text on the site, while GitHub shows it well."""
    for page in (ROOT / "docs").rglob("*.md"):
        path = page.relative_to(ROOT / "docs").with_suffix("")
        shown = site / (path.parent if path.name == "index" else path) / "index.html"
        assert shown.read_text().count('class="highlight"') >= len(list(read_fences(page))), page


def test_the_search_index_has_the_pages(site):
    index = (site / "search" / "search_index.json").read_text()
    assert "SubjectMismatch" in index
    assert "Quick start" in index


def find_anchors(page):
    """Return the anchors of a page as GitHub and the site make them."""
    text = FENCED.sub("", page.read_text())
    headings = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", each).replace("`", "") for each in HEADING.findall(text)]
    return {slugify(each, "-") for each in headings} | set(GENERATED_ID.findall(text))


def find_links(page):
    text = CODE.sub("", FENCED.sub("", page.read_text()))
    return [first or second for first, second in LINK.findall(text)]


def test_every_relative_link_and_anchor_exists():
    missing, seen = [], 0
    for page in [*find_pages(), ROOT / "CHANGELOG.md"]:
        for link in find_links(page):
            if EXTERNAL.match(link):
                continue
            seen += 1
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            if not target.exists() or (anchor and target.suffix == ".md" and anchor not in find_anchors(target)):
                missing.append(f"{page.relative_to(ROOT)}: {link}")
    assert missing == []
    assert seen >= 50
