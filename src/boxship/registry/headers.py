"""Header values and URLs of a registry's answers, read with suspicion. Pure."""

from urllib.parse import parse_qsl, quote, unquote, urljoin, urlsplit, urlunsplit

from boxship.errors import RegistryError

_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_TEXT_MAX = 1024


class Challenge:
    """One WWW-Authenticate challenge: the scheme in lower case and its parameters."""

    __slots__ = ("parameters", "scheme")

    def __init__(self, scheme: str, parameters: dict[str, str]) -> None:
        self.scheme = scheme
        self.parameters = parameters


class _Scanner:
    """A walk over one header value (RFC 9110 section 11.2)."""

    __slots__ = ("at", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def skip(self, chars: str) -> None:
        while self.at < len(self.text) and self.text[self.at] in chars:
            self.at += 1

    def token(self) -> str:
        start = self.at
        while self.at < len(self.text) and self.text[self.at] in _TOKEN:
            self.at += 1
        return self.text[start : self.at]

    def value(self) -> str | None:
        """A token or a quoted string without its quotes; None when the string does not end."""
        if self.text[self.at : self.at + 1] != '"':
            return self.token()
        self.at += 1
        result: list[str] = []
        while self.at < len(self.text):
            char = self.text[self.at]
            self.at += 1
            if char == '"':
                return "".join(result)
            if char == "\\":
                char = self.text[self.at : self.at + 1]
                self.at += 1
            result.append(char)
        return None

    def parameter(self) -> tuple[str, str] | None:
        """name=value, or None and the position unchanged when there is none here."""
        start = self.at
        name = self.token()
        self.skip(" \t")
        if name and self.text[self.at : self.at + 1] == "=":
            self.at += 1
            self.skip(" \t")
            value = self.value()
            if value is not None:
                return name.lower(), value
        self.at = start
        return None


def parse_challenges(values: list[str]) -> list[Challenge]:
    """All challenges in order. One that can't be read ends its header value."""
    found: list[Challenge] = []
    for text in values:
        scan = _Scanner(text)
        while scan.at < len(scan.text):
            scan.skip(" \t,")
            scheme = scan.token()
            if not scheme:
                break
            parameters: dict[str, str] = {}
            scan.skip(" \t")
            while pair := scan.parameter():
                parameters[pair[0]] = pair[1]
                scan.skip(" \t,")
            found.append(Challenge(scheme.lower(), parameters))
    return found


def select_challenge(found: list[Challenge]) -> Challenge | None:
    """The challenge to follow: the first Basic or Bearer one, else the first, which we can't."""
    for challenge in found:
        if challenge.scheme in ("basic", "bearer"):
            return challenge
    return found[0] if found else None


def next_page(request_url: str, link: str) -> str | None:
    """The URL of the next page by a Link header, None without one. Raises RegistryError when it leads elsewhere."""
    target, bracket, _ = link.partition(">")
    if not target.startswith("<") or not bracket:
        return None
    target = target[1:]
    if not target or not target.isprintable():
        return None
    try:
        url = urljoin(request_url, target)
        same = origin(url) == origin(request_url)
    except ValueError:
        return None
    if not same:
        raise RegistryError(f"the registry's next page is on another host: {redact(url)}")
    return url


def origin(url: str) -> tuple[str, str, int]:
    """(scheme, host, port): what two URLs share when credentials for one may go to the other. Raises ValueError."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return parts.scheme, (parts.hostname or "").lower(), port


def redact(url: str) -> str:
    """A URL fit for messages: query values hidden (but ns), sorted by name, and no password."""
    try:
        parts = urlsplit(url)
        if not parts.scheme or not parts.netloc:
            return url
    except ValueError:
        return url
    pairs = sorted(parse_qsl(parts.query, keep_blank_values=True), key=lambda pair: pair[0])
    query = "&".join(
        f"{quote(name, safe='')}={quote(value, safe='') if name == 'ns' else 'REDACTED' if value else ''}" for name, value in pairs
    )
    user, at, host = parts.netloc.rpartition("@")
    if at and ":" in user:
        user = f"{user.partition(':')[0]}:xxxxx"
    return urlunsplit((parts.scheme, f"{user}{at}{host}", parts.path, query, parts.fragment))


def warning_text(value: str) -> str:
    """The text of a Warning header (299 - "text"), "" for anything else; percent escapes are undone once."""
    prefix = '299 - "'
    if not value.startswith(prefix):
        return ""
    result: list[str] = []
    rest = iter(value[len(prefix) :])
    for char in rest:
        if char == '"':
            break
        taken = next(rest, "\0") if char == "\\" else char
        if not _printable(taken):
            return ""
        result.append(taken)
    else:
        return ""
    if next(rest, None) is not None:
        return ""
    text = "".join(result)
    decoded = unquote(text, errors="replace") if text.isascii() else text
    smuggled = '"' in decoded and '"' not in text
    return "" if smuggled or not _printable(decoded) else decoded


def _printable(text: str) -> bool:
    return not any((char < " " and char != "\t") or char == "\x7f" for char in text)


def clean(text: str, limit: int = _TEXT_MAX) -> str:
    """A stranger's text for one line of a terminal: control characters out, cut at `limit`."""
    line = "".join(char if char.isprintable() else " " for char in text[: 4 * limit])
    line = " ".join(line.split())
    return line if len(line) <= limit else f"{line[:limit]}..."
