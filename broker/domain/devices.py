"""What a browser says it runs on, as far as that decides which links work there."""

from __future__ import annotations

import re
from enum import StrEnum

_IOS = re.compile(r"\b(?:iPhone|iPad|iPod)\b[^)]{0,80}? OS ([0-9]{1,3})_([0-9]{1,3})", re.ASCII)
_APPLE_MESSAGES_SINCE = (11, 3)


class Device(StrEnum):
    """A guess, good enough to sort buttons by and never to refuse anybody."""

    IOS = "ios"
    ANDROID = "android"
    MAC = "mac"
    OTHER = "other"

    @classmethod
    def of(cls, user_agent: str) -> Device:
        """The device behind a `User-Agent`; an iOS before 11.3 is `OTHER`.

        Since that version an iPhone has Messages for Business. An iPad that asks for desktop pages
        calls itself a Mac, which has Messages too.
        """
        if (version := _IOS.search(user_agent)) is not None:
            known = (int(version[1]), int(version[2])) >= _APPLE_MESSAGES_SINCE
            return cls.IOS if known else cls.OTHER
        if "Android" in user_agent:
            return cls.ANDROID
        return cls.MAC if "Macintosh" in user_agent else cls.OTHER
