"""Makes one encoded text of a chat's messages, and describes a chat."""
