"""Telling paths from addresses, cheaply: nearly every source and context is a plain path. Pure."""

from __future__ import annotations


def may_be_git(text: str) -> bool:
    """Whether gitref.parse() has to be asked: for every other text it says no."""
    return "://" in text or "@" in text or text.startswith("github.com/")


def is_git(text: str) -> bool:
    """Whether the text is a git reference without a mistake in its query."""
    if not may_be_git(text):
        return False
    # here: urllib and re cost as much as half of a cached build
    from boxship.build import gitref

    return gitref.is_git(text)


def is_url(text: str) -> bool:
    """An HTTP address to fetch, as against a git repository over HTTP."""
    return text.startswith(("http://", "https://")) and not is_git(text)
