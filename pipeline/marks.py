"""Characters that nobody writes: they say how the messages of a corpus stand to each other.

`corpus.kept_texts` takes them out of what people wrote and puts them where they belong, so that a model learns to
write them; `vocabulary` has their names. Prompts may have them: text that ends with `END` asks for a new message.
"""

END = "\x03"  # END OF TEXT: the message before it is over
REPLY = "\x02"  # START OF TEXT: what follows answers what stands before it
NAMES = {END: "[END]", REPLY: "[REPLY]"}
LINE_BREAK = "\n"  # what `END` reads as inside of a text


def readable(text: str) -> str:
    r"""Writes long texts for people: the end of a message reads as a line break.

    >>> readable("hello\x03how are you")
    'hello\nhow are you'
    """
    return text.replace(END, LINE_BREAK)
