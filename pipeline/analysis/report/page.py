"""The report: findings become one HTML file that needs nothing else, neither network nor font nor picture.

    Findings ── SECTIONS, a file each ──► page   style and script inside, allowed by their digests alone

Every number comes from the findings. Text from documents passes `markup.text` or `samples.cells`; the page's policy
lets no other script run than its own.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from pathlib import Path
from string import Template

from pipeline.analysis.findings import Findings
from pipeline.analysis.report import collisions, compressors, corpus, distributions, samples, stability
from pipeline.analysis.report.lead import lead
from pipeline.analysis.report.markup import element, text

SECTIONS: dict[str, Callable[[Findings], str]] = {
    "Stability": stability.section,
    "Collisions": collisions.section,
    "Corpus": corpus.section,
    "Compressors": compressors.section,
    "Distributions": distributions.section,
    "Samples": samples.section,
}
"""Title to what draws the section, in the order of the page. One that draws nothing is left out."""


def report_html(findings: Findings) -> bytes:
    """The page as UTF-8; equal findings give equal bytes."""
    here = Path(__file__).parent
    style, script = ((here / f"page.{kind}").read_text("utf-8") for kind in ("css", "js"))
    sections = {title: content for title, section in SECTIONS.items() if (content := section(findings))}
    page = Template((here / "page.html").read_text("utf-8")).substitute(
        title=text(f"What the compressors do to {findings.dataset}"),
        lead=lead(findings),
        provenance=_provenance(findings),
        contents="".join(f'<li><a href="#{title.lower()}">{title}</a></li>' for title in sections),
        sections="\n".join(
            element("section", element("h2", title) + content, id=title.lower()) for title, content in sections.items()
        ),
        style=style,
        script=script,
        style_digest=_digest(style),
        script_digest=_digest(script),
    )
    return page.encode()


def _digest(content: str) -> str:
    """sha256 in base64, as a content security policy wants it."""
    return base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


def _provenance(findings: Findings) -> str:
    words = f"Made by {element('code', text(findings.command))} from the manifest with sha256 "
    return element("p", words + element("code", text(findings.manifest_digest)), class_="made")
