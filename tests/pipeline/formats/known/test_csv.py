"""CSV as one format among the others; `test_messages` and the tests of `csv_…` have its details."""

from tests.pipeline.formats.chats import Example

EXAMPLES = [
    Example(
        "chat.csv",
        'id,fromUser.id,text\r\n1,mira,"good ""evening""\nall, and you"\r\n2,bo,café\r\n3,mira,\r\n',
        [("mira", 'good "evening"\nall, and you'), ("bo", "café"), ("mira", "")],
    ),
    Example(
        "discord.csv",
        'AuthorID,Author,Date,Content,Attachments,Reactions\n90071992547409931,mira,now,"hi;\nyou",,\n',
        [("90071992547409931", "hi;\nyou")],
        format="CSV, columns 'AuthorID' and 'Content'",
    ),
    Example(
        "excel.csv",
        "sender;message\nmira;hi, you\nbo;ho, me\n",
        [("mira", "hi, you"), ("bo", "ho, me")],
        format="CSV split at semicolons, columns 'sender' and 'message'",
    ),
    Example(
        "gitter.tsv",
        'fromUser.id\tfromUser.username\tsent\ttext\n55a7\tmira\tnow\thi, you\n66b8\tbo\tnow\t"two\nlines"\n',
        [("55a7", "hi, you"), ("66b8", "two\nlines")],
    ),
]
