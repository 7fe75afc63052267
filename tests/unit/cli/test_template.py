import pytest

from boxship.cli.render import ellipsis, short_id
from boxship.cli.template import Template, TemplateError
from tests.tables import rows


def fill(source, data=None):
    return Template(source).execute(data)


DATA = {
    "Name": "web",
    "Config": {"Env": ["A=1", "B=2"], "Labels": {"b": "2", "a": "1"}, "Cmd": None},
    "State": {"Running": True, "Pid": 42, "Error": ""},
    "Ports": {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]},
    "Size": 1.5,
    "None": None,
}


@pytest.mark.parametrize(
    "case",
    [
        row
        for row in rows("cli_output/format_helpers")
        if not row.values[0] or row.values[0]["kind"] in ("template", "ellipsis", "short_id")
    ],
)
def test_helpers(case):
    want = case["expect"]
    if case["kind"] == "ellipsis":
        assert ellipsis(case["text"], case["width"]) == want["text"]
    elif case["kind"] == "short_id":
        assert short_id(case["text"]) == want["text"]
    elif "error" in want:
        with pytest.raises(TemplateError):
            fill(case["template"], case["data"])
    else:
        assert fill(case["template"], case["data"]) == want["text"]


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{.Name}}", "web"),
        ("a{{/* b */}}c", "ac"),
        ("a {{- .Name -}} b", "awebb"),
        ("{{if .State.Running}}up{{else}}down{{end}}", "up"),
        ("{{if .State.Error}}{{.State.Error}}{{else if .State.Pid}}pid{{else}}none{{end}}", "pid"),
        ("{{with .Config}}{{index .Env 1}}{{end}}", "B=2"),
        ("{{with .State.Error}}x{{else}}y{{end}}", "y"),
        ("{{range .Config.Env}}[{{.}}]{{end}}", "[A=1][B=2]"),
        ("{{range $i, $v := .Config.Env}}{{$i}}{{$v}};{{end}}", "0A=1;1B=2;"),
        ("{{range $k, $v := .Config.Labels}}{{$k}}{{$v}}{{end}}", "a1b2"),
        ("{{range .None}}x{{else}}empty{{end}}", "empty"),
        ('{{range .Config.Env}}{{if eq . "B=2"}}{{break}}{{end}}{{.}}{{end}}', "A=1"),
        ('{{range .Config.Env}}{{if eq . "A=1"}}{{continue}}{{end}}{{.}}{{end}}', "B=2"),
        ('{{index .Config.Labels "a"}}', "1"),
        ('{{(index (index .Ports "80/tcp") 0).HostPort}}', "8080"),
        ('{{join .Config.Env ","}}', "A=1,B=2"),
        ("{{.Config.Env | len}}", "2"),
        ('{{$x := .Name}}{{$x}}{{$x = "y"}}{{$x}}', "weby"),
        ("{{range .Config.Env}}{{$.Name}}{{end}}", "webweb"),
        ("{{json .Config.Labels}}", '{"b":"2","a":"1"}'),
        ('{{printf "%s-%d %v %5.1f|%q" .Name .State.Pid .State.Running .Size .Name}}', 'web-42 true   1.5|"web"'),
        ('{{printf "%d" .Name}}', "%!d(string=web)"),
        ('{{printf "%s"}}', "%!s(MISSING)"),
        ("{{and .Name .State.Pid}}{{or .State.Error .Name}}{{not .Name}}", "42webfalse"),
        ('{{eq .Name "a" "web"}} {{ne 1 2}} {{lt 1 2}} {{ge 2 2}}', "true true true true"),
        ("{{slice .Name 1 2}}{{upper .Name}}{{title .Name}}", "eWEBWeb"),
        ("{{.Config.Env}} {{.Config.Labels}} {{.Config.Cmd}} {{.Size}}", "[A=1 B=2] map[a:1 b:2] [] 1.5"),
        ("{{.None}}", "<no value>"),
        ('{{print 1 2 "a" 3}}', "1 2a3"),
        ("{{`raw {{`}}", "raw {{"),
        ('{{"tab\\t\\u00e9"}}', "tab\té"),
        ('{{len "é"}}{{true}}{{0x10}}{{-1}}', "2true16-1"),
        ("{{range 3}}{{.}}{{end}}", "012"),
    ],
)
def test_language(source, text):
    assert fill(source, DATA) == text


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("{{", ":1: unclosed action"),
        ("a\n{{.Name", ":2: unclosed action"),
        ('{{"a}}', ":1: unterminated quoted string"),
        ("{{if .Name}}", ":1: unexpected EOF"),
        ("{{end}}", ":1: unexpected {{end}}"),
        ("{{bogus .Name}}", ':1: function "bogus" not defined'),
        ("{{$x}}", ':1: undefined variable "$x"'),
        ("{{range $x := .A}}{{end}}{{$x}}", ':1: undefined variable "$x"'),
        ("{{}}", ":1: missing value for command"),
        ("{{if}}{{end}}", ":1: missing value for if"),
        ("{{(1}}", ":1: unclosed left paren"),
        ("{{.A | }}", ":1: missing value for command"),
        ("{{/* a}}", ":1: unclosed comment"),
        ("{{else}}", ":1: unexpected {{else}}"),
        ("{{12x}}", ':1: bad number syntax: "12x"'),
        ("{{%}}", ':1: unexpected "%" in operand'),
        ('{{"\\z"}}', ":1: invalid syntax"),
        ('{{"\\x1"}}', ":1: invalid syntax"),
    ],
)
def test_unreadable(source, error):
    with pytest.raises(TemplateError) as caught:
        Template(source)
    assert str(caught.value) == error


@pytest.mark.parametrize(
    "source",
    [
        "{{.Nope}}",
        "{{.Name.Deeper}}",
        "{{.None.Deeper}}",
        "{{index .Config.Env 7}}",
        '{{index .Config.Env "a"}}',
        "{{index .None 0}}",
        "{{join .Name}}",
        "{{upper .State.Pid}}",
        "{{lt .Name 1}}",
        "{{range .Name}}{{end}}",
        "{{nil}}",
        "{{.Name 1}}",
        "{{len .State.Pid}}",
        "{{eq .Config .Config}}",
        "{{slice .Name 9}}",
        "{{pad .Name}}",
        '{{truncate .Name "a"}}',
        "{{1 2}}",
    ],
)
def test_impossible(source):
    with pytest.raises(TemplateError):
        fill(source, DATA)


def test_place_of_an_error():
    with pytest.raises(TemplateError) as caught:
        fill("a {{.Nope}}", DATA)
    assert str(caught.value) == ':1:4: executing "" at <.Nope>: map has no entry for key "Nope"'
