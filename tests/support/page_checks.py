"""What every page of the site must be: light, accessible, usable on a phone and by keyboard alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from playwright.sync_api import Page

from support.anvil import ROOT
from support.tabs import browsing

MAX_BYTES = 150_000
PHONE = {"width": 360, "height": 740}
DESKTOP = {"width": 1280, "height": 800}
STOPS_PER_CONTROL = 4
"""A date has a stop for day, month and year each, and for its calendar; what scrolls is a stop too."""
GRAVE = frozenset({"serious", "critical"})
AXE = ROOT / "hardhat-local" / "node_modules" / "axe-core" / "axe.min.js"
_RUN_AXE = """async () => (await axe.run(document, { resultTypes: ["violations"] })).violations
  .map(({ id, impact, help, nodes }) => ({ id, impact, help, nodes: nodes.map(({ html, failureSummary }) =>
    `${html.slice(0, 200)} ${failureSummary.replace(/\\s+/g, " ")}`) }))"""
_WIDER = """() => {
  const room = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= room) return [];
  const scrolls = (one) =>
    one && (/auto|scroll|hidden/.test(getComputedStyle(one).overflowX) || scrolls(one.parentElement));
  return [...document.body.querySelectorAll("*")]
    .filter((one) => one.getBoundingClientRect().right > room + 1 && !scrolls(one.parentElement))
    .map((one) => one.outerHTML.slice(0, 120));
}"""
_BESIDE = """() => [...document.querySelectorAll(".scroll :is(a[href], button, input, select, textarea)")]
  .filter((one) => one.checkVisibility({ visibilityProperty: true }) &&
    one.getBoundingClientRect().right > document.documentElement.clientWidth)
  .map((one) => one.outerHTML.slice(0, 120))"""
_CONTROLS = """() => {
  const kinds = "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex]";
  window.controls = [...document.querySelectorAll(kinds)].filter((one) =>
    one.tabIndex >= 0 && !one.disabled && one.checkVisibility({ visibilityProperty: true }) &&
    // of a group of radio buttons only the chosen one, or the first, is a stop
    !(one.type === "radio" && !one.checked && document.querySelector(
      `input[type=radio][name="${one.name}"]:checked, input[type=radio][name="${one.name}"]`) !== one));
  document.body.tabIndex = -1;
  document.body.focus();
  document.body.removeAttribute("tabindex");
  return window.controls.map((one) => one.outerHTML.slice(0, 120));
}"""
_FOCUSED = """() => {
  const one = document.activeElement, style = getComputedStyle(one);
  const seen = style.outlineStyle !== "none" && style.outlineWidth !== "0px" || style.boxShadow !== "none";
  return [window.controls.indexOf(one), seen];
}"""


def check_page(page: Page, url: str) -> None:
    """Loads a page and raises AssertionError with all that is wrong with it.

    It is opened with the cookies of `page`. It must come with 200, with all that it loads in less than
    `MAX_BYTES`; on a phone and on a desk, in light and dark, axe-core must find nothing serious; on a phone
    nothing may lie beside the screen, and no control only where a table is scrolled to; each control must be
    reached by the Tab key and show that it is.
    """
    faults = list(_faults(page, url))
    assert faults == [], "\n".join([f"{url}:", *faults])


def _faults(page: Page, url: str) -> Iterator[str]:
    page.set_viewport_size(DESKTOP)
    visit = browsing.visit(page, url)
    if visit.status != 200:
        yield f"status {visit.status}"
    if page.url.partition("?")[0] != url.partition("?")[0]:
        yield f"leads to {page.url}"
    if visit.size_bytes >= MAX_BYTES:
        yield f"{visit.size_bytes} bytes"
    yield from unreachable(page)
    for name, size in (("desk", DESKTOP), ("phone", PHONE)):
        page.set_viewport_size(size)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            yield from (f"{name}, {scheme}: {fault}" for fault in grave_violations(page))
    yield from (f"wider than a phone: {fault}" for fault in page.evaluate(_WIDER))
    yield from (f"found on a phone by scrolling only: {fault}" for fault in page.evaluate(_BESIDE))


def grave_violations(page: Page) -> list[str]:
    """What axe-core calls serious or critical on a page as it is now."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(_axe())
    found: list[dict[str, Any]] = page.evaluate(_RUN_AXE)
    return [json.dumps(one, indent=1) for one in found if one["impact"] in GRAVE]


def unreachable(page: Page) -> Iterator[str]:
    """Controls that the Tab key does not reach, or that do not show that they have the focus."""
    controls: list[str] = page.evaluate(_CONTROLS)
    reached: set[int] = set()
    for _ in range(STOPS_PER_CONTROL * (len(controls) + 1)):
        page.keyboard.press("Tab")
        index, seen = page.evaluate(_FOCUSED)
        if index >= 0 and index not in reached and not seen:
            yield f"shows no focus: {controls[index]}"
        reached.add(index)
        if reached >= set(range(len(controls))):
            return
    yield from (f"not reached by Tab: {one}" for index, one in enumerate(controls) if index not in reached)


@cache
def _axe() -> str:
    if not AXE.exists():
        pytest.fail(f"{AXE} is missing: run `make setup`", pytrace=False)
    return AXE.read_text(encoding="utf-8")
