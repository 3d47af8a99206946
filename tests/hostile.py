"""Text as a stranger may write it into labels, group values, file names, notes and EXIF: each would do harm somewhere.

`MARK` is what a script among them would make of a page's title, `PORT` stands for a server that counts requests.
"""

MARK = "owned"
_RUN = f"document.title='{MARK}'"

HOSTILE: dict[str, str] = {
    "script": f"</script><script>{_RUN}</script>",
    "image": f'"><img src=x onerror="{_RUN}">',
    "svg": f'</style></title><svg onload="{_RUN}"><a xlink:href="javascript:{_RUN}">x</a></svg>',
    "handler": f"' onmouseover='{_RUN}' autofocus onfocus='{_RUN}",
    "entity": f"&lt;script&gt;{_RUN}&lt;/script&gt;&#60;b&#62;",
    "comment": "--><!--<![CDATA[ ]]>",
    "request": "<img src=http://127.0.0.1:PORT/i><link rel=stylesheet href=http://127.0.0.1:PORT/l>"
    "<iframe src=http://127.0.0.1:PORT/f></iframe><meta http-equiv=refresh content='0;url=http://127.0.0.1:PORT/m'>",
    "style": "</style><style>@import 'http://127.0.0.1:PORT/s';*{background:url(http://127.0.0.1:PORT/b)}",
    "formula": "=cmd|' /C calc'!A0",
    "sum": "@SUM(1+1)*cmd|' /C calc'!A0",
    "plus": "+1+1",
    "minus": "-2+3+cmd|' /C calc'!A0",
    "full width": "\uff1dcmd|' /C calc'!A0",
    "hidden formula": '\u200b\ufeff=HYPERLINK("http://127.0.0.1:PORT/h")',
    "tab": "\t=1+1",
    "return": "\r\n=1+1",
    "second cell": "calm;=1+1\t=1+1\n@SUM(1)",
    "quotes": '""",\'`“”;',
    "separators": "a\u2028b\u2029c\u0085d",
    "terminal": "\x1b[2J\x1b]0;owned\x07\x1b[31mred\x9b2J",
    "overwrite": "all is well\rnothing is",
    "link": "[click](javascript:alert(1)) <javascript:alert(1)> ![x](http://127.0.0.1:PORT/p) http://127.0.0.1:PORT/q",
    "reference": "[x]: javascript:alert(1)\n\n[x] www.example.org",
    "bidi": "photo\u202egpj.exe\u2066\u2069",
    "nul": "a\x00b",
    "half": "a\ud800b\udfff",
    "long": "n" * 10_000,
    "markdown": "# head\n---\n* _a_ **b** `c` ~~d~~ | e |\n\n> quote\n\n1. one",
    "code": "``` \n````\n`x` <!-- -->",
    "table": "| a | b |\n|---|---|\n",
    "front matter": "---\nlicense: mit\n---\n",
    "yaml": "!!python/object/apply:os.system ['true']",
    "anchor": "*alias &anchor {a: b} [c, d] % @ `",
    "yaml comment": "x # no comment: 'y' \"z",
    "template": "{{7*7}}{% raw %}${7*7}<%= 7*7 %>#{7*7}",
    "format": "%s%n{0}{name}\\u0000",
    "json": '","schema_version":9,"x":"\\',
    "shell": "$(touch owned); `id` && rm -rf ~ | cat > x",
    "path": "../../../etc/passwd",
    "web": "file:///etc/passwd",
    "marks": "Z̸̢̛a̵l̶g̷o̴" * 20,
    "prototype": "__proto__",
    "blank": " ",
    "nothing": "",
}
