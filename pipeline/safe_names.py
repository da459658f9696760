"""Makes names that are folders on every file system, and models in every address, out of what people are called."""

import hashlib
import re
import unicodedata

_LONGEST = 40  # characters
_UNSAFE = re.compile(r"[^a-z0-9_-]+")


def safe_name(name: str, key: str = "") -> str:
    """Writes a name in a-z, 0-9, _ and -; what was lost is made up for, so that no two names become one.

    A name that is so already stays, where it is its own key.

    Args:
        name: what somebody is called.
        key: what tells them from all others, such as an id; the name itself by default.

    >>> safe_name("mira_7"), safe_name("Mira K."), safe_name("mira", "id7")
    ('mira_7', 'mira-k-e2c1a5', 'mira-e6ef52')
    """
    plain = unicodedata.normalize("NFKD", name).casefold()
    safe = _UNSAFE.sub("-", "".join(char for char in plain if not unicodedata.combining(char)))[:_LONGEST].strip("-")
    if safe and safe == (key or name):
        return safe
    return "-".join(filter(None, (safe, hashlib.sha256((key or name).encode()).hexdigest()[:6])))
