"""Names for containers that got none: an adjective and a person of science, as Docker's look."""

import os

_LEFT = """
able agile amber ample apt arch avid bold brave breezy bright brisk calm candid clever cosy crisp curious daring deft
dapper eager early earnest elated fabled fair famed fleet fond frank fresh gentle glad golden grand handy happy hardy
hearty honest humble ideal jolly jovial keen kind lively loyal lucid lucky mellow merry mighty modest neat nimble noble
novel patient placid plucky polite prime proud quick quiet ready robust serene sharp sleek smart snug sober solid spry
stoic sunny swift tender tidy trusty upbeat valiant vivid warm wise witty zesty
"""

_RIGHT = """
abel agnesi ampere babbage banneker bardeen bernoulli blackwell bohr boole bose cantor carson cartwright cauchy chandra
church cori curie darwin dijkstra dirac easley einstein elion erdos euclid euler faraday fermat fermi feynman fourier
franklin galileo gauss germain goldberg goodall hamilton hawking herschel hertz hilbert hodgkin hopper huygens hypatia
jackson johnson joliot joule kalam kepler khwarizmi kilby knuth kovalevskaya lamarr lamport laplace leavitt leibniz
lise lovelace mendel mirzakhani moore morse napier newton nightingale nobel noether ohm pascal pasteur payne perlman
planck poincare ramanujan raman riemann ritchie rubin sagan shannon sinoussi snyder somerville stonebraker tesla
thompson torvalds turing vaughan volta wescoff wiles wing wright wu yalow yonath
"""


def random_name() -> str:
    """Some ten thousand of them; the caller tries again, or adds digits, when one is taken."""
    draw = os.urandom(4)
    left, right = _LEFT.split(), _RIGHT.split()
    first = left[int.from_bytes(draw[:2], "little") % len(left)]
    return f"{first}_{right[int.from_bytes(draw[2:], 'little') % len(right)]}"


def is_valid(name: str) -> bool:
    """Docker's [a-zA-Z0-9][a-zA-Z0-9_.-]+"""
    if len(name) < 2 or not (name[0].isascii() and name[0].isalnum()):
        return False
    return all(character.isascii() and (character.isalnum() or character in "_.-") for character in name)
