"""On a phone, in the dark, on paper, and without a mouse."""

import pytest

from tests.report.checks import CONTRAST

PLACES = (
    "#scores",
    "#conversations",
    "#dialogue=test1",
    "#turn=test0_1",
    "#turn=test1_2&outcome=wrong",
    "#compare",
    "#run",
)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_word_can_be_read(scheme, page_file, visit):
    page = visit(page_file, color_scheme=scheme, viewport={"width": 1280, "height": 900})
    for place in PLACES:
        page.evaluate("(place) => { location.hash = place; }", place)
        page.wait_for_timeout(80)
        looked, poor = page.evaluate(CONTRAST)
        assert looked > 20
        assert poor == [], place


@pytest.mark.parametrize("width", [390, 800, 1280])
def test_no_page_is_wider_than_the_screen(width, page_file, visit):
    page = visit(page_file, viewport={"width": width, "height": 844})
    for place in PLACES:
        page.evaluate("(place) => { location.hash = place; }", place)
        page.wait_for_timeout(50)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, place


def test_a_phone_shows_one_thing_at_a_time_with_a_way_back(page_file, visit):
    page = visit(page_file, "#conversations", viewport={"width": 390, "height": 844})

    def shows(only):
        """The page turns a moment after the click."""
        for name in (".finder", ".talk", ".panel"):
            page.locator(name).wait_for(state="visible" if name == only else "hidden")

    shows(".finder")
    page.locator(".list a").nth(1).click()
    shows(".talk")
    page.evaluate("scrollTo(0, 60)")
    page.locator(".turns a").nth(2).click()
    page.locator(".panel .opening").wait_for()
    shows(".panel")
    page.wait_for_function("scrollY === 0")
    page.get_by_role("link", name="← The dialogue").click()
    shows(".talk")
    page.get_by_role("link", name="← All dialogues").click()
    shows(".finder")


def test_on_paper_are_the_scores_and_the_dialogue(page_file, visit):
    page = visit(page_file, "#turn=test1_2")
    page.locator(".panel .opening").wait_for()
    page.emulate_media(media="print")
    assert page.locator("#scores .confusion").is_visible()
    assert page.locator(".turns").is_visible()
    for name in ("#views", ".finder", ".panel"):
        assert not page.locator(name).is_visible()
    assert page.pdf(format="A4").startswith(b"%PDF")


def test_everything_can_be_reached_by_keys_and_has_a_name(page_file, visit):
    page = visit(page_file, "#dialogue=test1")
    reached = []
    for _ in range(16):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate(
                "(() => { const one = document.activeElement; return [one.className || one.name"
                " || one.tagName, getComputedStyle(one).outlineStyle !== 'none',"
                " (one.textContent || one.labels?.[0]?.textContent || '').trim() !== '']; })()"
            )
        )
    assert all(outlined and named for _, outlined, named in reached), reached
    assert reached[0][0] == "skip"
    names = [name for name, *_ in reached]
    assert "q" in names
    page.locator(".turns a").first.focus()
    page.keyboard.press("Enter")
    page.locator(".panel .opening").wait_for()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("document.activeElement.className === 'panel'")
    page.keyboard.press("ArrowLeft")
    page.wait_for_function("document.activeElement.closest('.turns') !== null")
    headings = page.locator("#conversations").get_by_role("heading").all_text_contents()
    assert "Why" in headings
    assert page.locator("main, nav, header, aside, article").count() >= 5
