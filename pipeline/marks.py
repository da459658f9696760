"""Characters that nobody writes: they say how the messages of a corpus stand to each other.

`corpus.kept_texts` takes them out of what people wrote and puts them where they belong, so that a model learns to
write them; `vocabulary` has their names. Prompts may have them: text that ends with `END` asks for a new message.
"""

END = "\x03"  # END OF TEXT: the message before it is over
REPLY = "\x02"  # START OF TEXT: what follows answers what stands before it
NAMES = {END: "[END]", REPLY: "[REPLY]"}
UNKNOWN_ID = 0  # what stands for each character that a vocabulary lacks
LINE_BREAK = "\n"  # what `END` reads as inside of a text


def asked(question: str, begun: str = "") -> str:
    r"""Makes the prompt that has a question answered, by a model that has learned to answer.

    >>> asked("how are you?", "i am ")
    'how are you?\x02i am '
    """
    return f"{question}{REPLY}{begun}"


def begun(prompt: str) -> str:
    r"""Gives what a completion of a prompt goes on with: of one that has a question answered the answer.

    >>> begun("how are you?\x02i am "), begun("how are ")
    ('i am ', 'how are ')
    """
    return prompt.rpartition(REPLY)[2]


def readable(text: str) -> str:
    r"""Writes long texts for people: the end of a message, or of what it answers, reads as a line break.

    >>> readable("hello\x03how are you")
    'hello\nhow are you'
    """
    return text.replace(END, LINE_BREAK).replace(REPLY, LINE_BREAK)
