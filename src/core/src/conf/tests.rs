//! The language, case by case: every rule of gnatsd 1.2.0 with its repairs.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;

use super::*;

/// Files and variables of one test.
#[derive(Default)]
struct Fixture {
    files: HashMap<&'static str, String>,
    variables: HashMap<&'static str, String>,
}

impl Sources for Fixture {
    fn read_file(&mut self, path: &Path) -> Result<Vec<u8>, String> {
        let name = path.to_str().unwrap();
        let text = self.files.get(name);
        let missing = || format!("open {name}: no such file or directory");
        text.map(|text| text.clone().into_bytes())
            .ok_or_else(missing)
    }

    fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(name).cloned()
    }
}

fn fixture(files: &[(&'static str, &str)], variables: &[(&'static str, &str)]) -> Fixture {
    Fixture {
        files: files
            .iter()
            .map(|&(name, text)| (name, text.to_owned()))
            .collect(),
        variables: variables
            .iter()
            .map(|&(name, text)| (name, text.to_owned()))
            .collect(),
    }
}

fn parse(text: impl AsRef<[u8]>) -> Result<Map, ConfError> {
    parse_text(Path::new("t.conf"), text.as_ref(), &mut Fixture::default())
}

/// The tree in the way JSON would have it.
fn shown(map: &Map) -> String {
    fn show(value: &Value, out: &mut String) {
        match value {
            Value::String(text) => write!(out, "{text:?}").unwrap(),
            Value::Integer(number) => write!(out, "{number}").unwrap(),
            Value::Float(number) => write!(out, "{number:?}").unwrap(),
            Value::Bool(value) => write!(out, "{value}").unwrap(),
            Value::Date(date) => write!(out, "{date}").unwrap(),
            Value::Array(values) => {
                out.push('[');
                for (index, item) in values.iter().enumerate() {
                    out.push_str(if index > 0 { "," } else { "" });
                    show(&item.value, out);
                }
                out.push(']');
            }
            Value::Map(map) => {
                out.push('{');
                for (index, entry) in map.iter().enumerate() {
                    out.push_str(if index > 0 { "," } else { "" });
                    write!(out, "{:?}:", entry.key).unwrap();
                    show(&entry.value.value, out);
                }
                out.push('}');
            }
        }
    }
    let mut out = String::new();
    show(&Value::Map(map.clone()), &mut out);
    out
}

fn check(table: &[(&str, &str)]) {
    for &(text, tree) in table {
        match parse(text) {
            Ok(map) => assert_eq!(shown(&map), tree, "{text:?}"),
            Err(error) => panic!("{text:?}: {error}"),
        }
    }
}

fn check_errors(table: &[(&str, &str)]) {
    for &(text, error) in table {
        match parse(text) {
            Ok(map) => panic!("{text:?}: {}", shown(&map)),
            Err(found) => assert_eq!(found.to_string(), format!("t.conf:{error}"), "{text:?}"),
        }
    }
}

#[test]
fn keys_separators_and_terminators() {
    check(&[
        ("", "{}"),
        (
            "foo='1'; bar=2.2; baz=true; boo=22",
            r#"{"foo":"1","bar":2.2,"baz":true,"boo":22}"#,
        ),
        ("foo = 2\nbar : 3\nbaz 4", r#"{"foo":2,"bar":3,"baz":4}"#),
        ("foo:bar,baz:qux", r#"{"foo":"bar","baz":"qux"}"#),
        (
            r#"{"a": 1, "b": [1,2,3], "c": {"d": null}}"#,
            r#"{"a":1,"b":[1,2,3],"c":{"d":"null"}}"#,
        ),
        ("{\n  \"a\": {\n \"b\": 1\n  }\n}\n", r#"{"a":{"b":1}}"#),
        (
            "foo = {bar=1, baz 2; q:3\n r 4}",
            r#"{"foo":{"bar":1,"baz":2,"q":3,"r":4}}"#,
        ),
        ("foo{bar=1}", r#"{"foo{bar":1}"#),
        ("a\n\n{ b: 1 }", r#"{"a":{"b":1}}"#),
        ("foo\nbar", r#"{"foo":"bar"}"#),
        ("foo", "{}"),
        ("foo =", r#"{"foo":""}"#),
        ("m { a =\n 1 }", r#"{"m":{"a":1}}"#),
        ("a = ,b = 2", r#"{"a":"","b":2}"#),
        ("a = 1 }", r#"{"a":1}"#),
        ("}", "{}"),
        ("a\t=\t1\r\nb = 2\r\n", r#"{"a":1,"b":2}"#),
        ("include: x", r#"{"include":"x"}"#),
        ("include=x", r#"{"include":"x"}"#),
        ("'include' x", r#"{"include":"x"}"#),
        ("a=b=c", r#"{"a":"b=c"}"#),
        ("a = 1;; = 2", r#"{"a":1,";":2}"#),
        ("$x.y-z = 1", r#"{"$x.y-z":1}"#),
        ("'a b' = 1\n\"c:\\d\" = 2", r#"{"a b":1,"c:\\d":2}"#),
        ("m { 'a b' = 1; \"c\": 2 }", r#"{"m":{"a b":1,"c":2}}"#),
        ("a = 1\0b = 2", r#"{"a":1}"#),
        ("\u{feff}a = 1", r#"{"a":1}"#),
    ]);
    check_errors(&[
        (
            "a = 5 b = 6",
            "1:7: Expected a top-level value to end with a new line, comment or EOF, but got 'b' instead.",
        ),
        (
            "a==b",
            "1:4: Expected a top-level value to end with a new line, comment or EOF, but got 'b' instead.",
        ),
        (
            "a : b : c",
            "1:7: Expected a top-level value to end with a new line, comment or EOF, but got ':' instead.",
        ),
        ("foo =\nbar=1", "1:6: Expected value but found new line"),
        ("a = 1\n\n  = 1", "3:3: Unexpected key separator '='"),
        (": 1", "1:1: Unexpected key separator ':'"),
        ("m { = 1 }", "1:5: Unexpected key separator '='."),
        ("a { b = , }", "1:9: Unexpected map value terminator \",\"."),
        (
            "a { b = }",
            "1:9: Expected a value but found the map terminator \"}\".",
        ),
        (
            "m { a = 1 b = 2 }",
            "1:11: Expected a map value terminator \",\" or a map terminator \"}\", but got 'b' instead.",
        ),
        ("/", "1:1: Unexpected EOF."),
    ]);
}

#[test]
fn comments() {
    check(&[
        (
            "# x\na = 1#c\n// y\nb = \"x\"#c\nc = x#c",
            r#"{"a":1,"b":"x","c":"x#c"}"#,
        ),
        ("a = //x", r#"{"a":"//x"}"#),
        ("foo = bar //baz", r#"{"foo":"bar"}"#),
        ("a = http://h", r#"{"a":"http://h"}"#),
        ("a = 1//c", r#"{"a":1}"#),
        ("a=#x", r##"{"a":"#x"}"##),
        (
            "a = [ # one\n 1 # two\n 2 // ]\n # end\n]",
            r#"{"a":[1,2]}"#,
        ),
        (
            "m { # one\n a = 1 # }\n // two\n b = 2 }",
            r#"{"m":{"a":1,"b":2}}"#,
        ),
    ]);
    // Comments are skipped as bytes: an old file with Latin-1 in them still loads.
    assert_eq!(shown(&parse(b"# \xfcber\na = 1").unwrap()), r#"{"a":1}"#);
    assert_eq!(
        parse(b"a = \xfc").unwrap_err().to_string(),
        "t.conf:1:5: Text is not valid UTF-8."
    );
}

#[test]
fn arrays() {
    check(&[
        ("a = [1\n2\n3]", r#"{"a":[1,2,3]}"#),
        ("a = [1,2,]", r#"{"a":[1,2]}"#),
        ("a = [1,2]", r#"{"a":[1,2]}"#),
        ("a = [2s,5abc]", r#"{"a":["2s","5abc"]}"#),
        ("a = []", r#"{"a":[]}"#),
        ("a = [[1,2],['x']]", r#"{"a":[[1,2],["x"]]}"#),
        (
            "a = [nats://h:1, nats://i:2]",
            r#"{"a":["nats://h:1","nats://i:2"]}"#,
        ),
        (
            "users = [ {u: a}\n {u: b}, {u: c} ]",
            r#"{"users":[{"u":"a"},{"u":"b"},{"u":"c"}]}"#,
        ),
    ]);
    let expected = "Expected an array value terminator \",\" or an array terminator \"]\", but got";
    check_errors(&[
        ("a = [1 2]", &format!("1:8: {expected} '2' instead.")),
        ("a = [5;6]", &format!("1:7: {expected} ';' instead.")),
        (
            "u = [ {u: a} {u: b} ]",
            &format!("1:14: {expected} '{{' instead."),
        ),
        ("a = [a b]", &format!("1:8: {expected} 'b' instead.")),
        ("a = [1,,2]", "1:8: Unexpected array value terminator ','."),
    ]);
}

#[test]
fn strings() {
    check(&[
        ("foo = 'a\\nb'", r#"{"foo":"a\\nb"}"#),
        ("foo = 'a\nb'", r#"{"foo":"a\nb"}"#),
        (
            r#"foo = "a\nb\t\"q\" \\ \x41""#,
            r#"{"foo":"a\nb\t\"q\" \\ A"}"#,
        ),
        (r#"foo = "\xc3\xa9\r""#, r#"{"foo":"é\r"}"#),
        (r"foo = a\tb", r#"{"foo":"a\tb"}"#),
        ("a = b'", r#"{"a":"b"}"#),
        ("a (\nx\n)\n", r#"{"a":"\nx\n"}"#),
        ("a = (\n l1 ) x\n)\nb=1", r#"{"a":"\n l1 ) x\n","b":1}"#),
        ("a = (\nx\n)", r#"{"a":"\nx\n"}"#),
        ("a = (\r\nx\r\n)\r\nb=1", r#"{"a":"\r\nx\r\n","b":1}"#),
        ("m { a (\nx\n)\n}", r#"{"m":{"a":"\nx\n"}}"#),
        (
            "b = Yes\nc = OFF\nd = 'true'\ne = truee",
            r#"{"b":true,"c":false,"d":"true","e":"truee"}"#,
        ),
        (
            "a = on;b = no,c = true'\nd = tru\\x65",
            r#"{"a":true,"b":false,"c":"true","d":"true"}"#,
        ),
        (
            "a = x$X\nb = '$X'\nc = \"$X\"",
            r#"{"a":"x$X","b":"$X","c":"$X"}"#,
        ),
        ("ü = ß", r#"{"ü":"ß"}"#),
    ]);
    check_errors(&[
        (
            "foo = 'it''s'",
            "1:11: Expected a top-level value to end with a new line, comment or EOF, but got ''' instead.",
        ),
        (
            r#"foo = "a\qb""#,
            "1:10: Invalid escape character 'q'. Only the following escape characters are allowed: \
             \\xXX, \\t, \\n, \\r, \\\", \\\\.",
        ),
        (
            r#"foo = "\xZZ""#,
            "1:10: Expected two hexadecimal digits after '\\x', but got 'ZZ'",
        ),
        (
            "foo = a\\x4\n",
            "1:11: Expected two hexadecimal digits after '\\x', but hit end of line",
        ),
        (
            "üü = \"\\q\"",
            "1:8: Invalid escape character 'q'. Only the following escape characters are allowed: \\xXX, \\t, \\n, \\r, \\\", \\\\.",
        ),
        (r#"a = "\xff""#, "1:5: Text is not valid UTF-8."),
    ]);
}

#[test]
fn numbers_dates_and_addresses() {
    check(&[
        (
            "n = 1k\nm=1kb\no=1m\np=1MB\nq=1g\nr=1GB",
            r#"{"n":1000,"m":1024,"o":1000000,"p":1048576,"q":1000000000,"r":1073741824}"#,
        ),
        (
            "n = -1k\no = -5.5\na = 00012",
            r#"{"n":-1000,"o":-5.5,"a":12}"#,
        ),
        ("n = -9223372036854775808", r#"{"n":-9223372036854775808}"#),
        ("a = +5", r#"{"a":"+5"}"#),
        // Strings as in 2.x, errors in 1.2.0.
        (
            "n = 1t\no = 2s\np = 0x10\nq = 1.5k\nr = 1e5\ns = 1kbb\nt = 1.5h\nu=-5s",
            r#"{"n":"1t","o":"2s","p":"0x10","q":"1.5k","r":"1e5","s":"1kbb","t":"1.5h","u":"-5s"}"#,
        ),
        (
            "ip = 127.0.0.1:abc\nn = 5:6",
            r#"{"ip":"127.0.0.1:abc","n":"5:6"}"#,
        ),
        (
            "a = 127.0.0.1:4222\nb = 1.2.3\nc = localhost:4222\nd = :4222\ne = 10.1\nf = 0.0.0.0:-1",
            r#"{"a":"127.0.0.1:4222","b":"1.2.3","c":"localhost:4222","d":":4222","e":10.1,"f":"0.0.0.0:-1"}"#,
        ),
        ("d = 2016-05-04T18:53:41Z", r#"{"d":2016-05-04T18:53:41Z}"#),
        (
            "d = 2000-02-29T00:00:00Z#c",
            r#"{"d":2000-02-29T00:00:00Z}"#,
        ),
        ("m {a=1}\nn {a=1.5}", r#"{"m":{"a":1},"n":{"a":1.5}}"#),
    ]);
    check_errors(&[
        ("n = .5", "1:5: Floats must start with a digit"),
        ("n = -.5", "1:6: Floats must start with a digit, not '.'."),
        (
            "n = 5.x",
            "1:7: Floats must have a digit after the '.', but got 'x' instead.",
        ),
        (
            "n = 5.",
            "1:7: Floats must have a digit after the '.', but got 'EOF' instead.",
        ),
        ("n = -x", "1:6: Expected a digit but got 'x'."),
        (
            "n = 9223372036854775808",
            "1:5: Integer '9223372036854775808' is out of the range.",
        ),
        (
            "n = 9223372036854775807k",
            "1:5: Integer '9223372036854775807k' is out of the range.",
        ),
        (
            "n = 1'",
            "1:6: Expected a top-level value to end with a new line, comment or EOF, but got ''' instead.",
        ),
        (
            "d = 2016-05-04",
            "1:15: Expected 'T' in ISO8601 datetime, but found 'EOF' instead.",
        ),
        (
            "d = 2016-05-04\n",
            "1:15: Expected 'T' in ISO8601 datetime, but found '\\n' instead.",
        ),
        (
            "d = 2016-0x",
            "1:11: Expected digit in ISO8601 datetime, but found 'x' instead.",
        ),
        (
            "d = 16-05-04",
            "1:5: All ISO8601 dates must be in full Zulu form.",
        ),
        (
            "d = 2016-13-04T18:53:41Z",
            "1:5: Expected Zulu formatted DateTime, but got '2016-13-04T18:53:41Z'.",
        ),
        (
            "d = 2015-02-29T00:00:00Z",
            "1:5: Expected Zulu formatted DateTime, but got '2015-02-29T00:00:00Z'.",
        ),
        (
            "d = 1900-02-29T00:00:00Z",
            "1:5: Expected Zulu formatted DateTime, but got '1900-02-29T00:00:00Z'.",
        ),
        (
            "d = 2016-05-04T24:00:00Z",
            "1:5: Expected Zulu formatted DateTime, but got '2016-05-04T24:00:00Z'.",
        ),
    ]);
    let digits = format!("n = {}.5", "9".repeat(400));
    assert!(matches!(
        parse(digits).unwrap_err().problem,
        Problem::FloatRange(_)
    ));
}

#[test]
fn unterminated_input() {
    check_errors(&[
        ("a = 'x", "1:7: Unexpected EOF."),
        ("a = \"x", "1:7: Unexpected EOF."),
        ("a = \"x\\", "1:8: Unexpected EOF."),
        ("'a", "1:3: Unexpected EOF."),
        ("\"a", "1:3: Unexpected EOF."),
        ("m {", "1:4: Unexpected EOF processing map."),
        ("m { a = 1", "1:10: Unexpected EOF processing map."),
        ("m { a = ", "1:9: Unexpected EOF processing map."),
        ("m { a", "1:6: Unexpected EOF processing map key."),
        ("m { 'a", "1:7: Unexpected EOF processing quoted map key."),
        (
            "m { \"a",
            "1:7: Unexpected EOF processing double quoted map key.",
        ),
        ("a = (x)", "1:8: Unexpected EOF processing block."),
        ("a = (\nx\n ", "3:2: Unexpected EOF processing block."),
        ("a = [", "1:6: Unexpected EOF processing array."),
        ("a = [1,", "1:8: Unexpected EOF processing array."),
        ("a = [1", "1:7: Unexpected EOF processing array."),
        ("include 'x", "1:11: Unexpected EOF in quoted include"),
        (
            "include \"x",
            "1:11: Unexpected EOF in double quoted include",
        ),
        ("include ", "1:9: Unexpected EOF."),
    ]);
}

#[test]
fn duplicates_count_at_their_last_place() {
    let map = parse("port = 1\nlisten = 2\nport = 3\nPort = 4").unwrap();
    assert_eq!(shown(&map), r#"{"listen":2,"port":3,"Port":4}"#);
    assert_eq!(map.value("PORT").unwrap().value, Value::Integer(4));
    assert_eq!((map.len(), map.is_empty()), (3, false));
}

#[test]
fn what_was_replaced_is_known() {
    let written = |map: &Map| -> Vec<String> {
        map.written()
            .map(|entry| format!("{} {}", entry.key, entry.key_position))
            .collect()
    };
    let map = parse("a = 1\nb = 2\na = 3").unwrap();
    assert_eq!(
        written(&map),
        ["a t.conf:1:1", "b t.conf:2:1", "a t.conf:3:1"]
    );
    let mut outer = parse("b = 4\nx = $b").unwrap();
    outer.merge(map);
    assert_eq!(written(&outer).len(), 5);
    assert_eq!(shown(&outer), r#"{"x":4,"b":2,"a":3}"#);
    assert!(outer.entry("b").unwrap().is_variable && !outer.entry("a").unwrap().is_variable);
}

#[test]
fn every_key_and_value_has_its_place() {
    let map = parse("a = 1\n  ßß { \"b\" : [1,\n x] }").unwrap();
    let entry = map.entry("ßß").unwrap();
    assert_eq!(entry.key_position.to_string(), "t.conf:2:3");
    assert_eq!(entry.value.position.to_string(), "t.conf:2:6");
    let Value::Map(inner) = &entry.value.value else {
        panic!()
    };
    let entry = inner.entry("b").unwrap();
    assert_eq!(entry.key_position.to_string(), "t.conf:2:8");
    let Value::Array(values) = &entry.value.value else {
        panic!()
    };
    assert_eq!(values[1].position.to_string(), "t.conf:3:2");
}

#[test]
fn variables() {
    check(&[
        (
            "index = 22\nnest { index = 11\n foo = $index }\nbar = $index",
            r#"{"index":22,"nest":{"index":11,"foo":11},"bar":22}"#,
        ),
        (
            "A = {x:1}\nb = [$A, $A]",
            r#"{"A":{"x":1},"b":[{"x":1},{"x":1}]}"#,
        ),
        (
            "x = 1\nm { a = [ { b = $x } ] }",
            r#"{"x":1,"m":{"a":[{"b":1}]}}"#,
        ),
        ("p: $2a$11$ooo", r#"{"p":"$2a$11$ooo"}"#),
        ("p: $2b$11$ooo", r#"{"p":"$2b$11$ooo"}"#),
        ("p: $2x$11$ooo", r#"{"p":"$2x$11$ooo"}"#),
        ("p: $2y$11$ooo", r#"{"p":"$2y$11$ooo"}"#),
        ("foo = 1\nfoo = $foo", r#"{"foo":1}"#),
    ]);
    check_errors(&[
        (
            "nest { index = 11 }\nbar = $index",
            "2:7: Variable reference for 'index' on line 2 can not be found.",
        ),
        (
            "INDEX = 22\nfoo = $index",
            "2:7: Variable reference for 'index' on line 2 can not be found.",
        ),
        (
            "p: $2c$11$ooo",
            "1:4: Variable reference for '2c$11$ooo' on line 1 can not be found.",
        ),
        (
            "foo = ${X}",
            "1:7: Variable reference for '{X' on line 1 can not be found.",
        ),
        (
            "foo = $",
            "1:7: Variable reference for '' on line 1 can not be found.",
        ),
        (
            "foo = $foo",
            "1:7: Variable reference for 'foo' on line 1 can not be found.",
        ),
        (
            "foo = $bar\nbar = 1",
            "1:7: Variable reference for 'bar' on line 1 can not be found.",
        ),
    ]);
    let map = parse("A = 1\nB = 2\nc = $A\nA = 3").unwrap();
    let used: Vec<_> = map
        .iter()
        .filter(|e| e.is_variable)
        .map(|e| &*e.key)
        .collect();
    assert_eq!(used, ["A"]);
    assert_eq!(
        map.entry("c").unwrap().value.position.to_string(),
        "t.conf:3:5"
    );
}

#[test]
fn variables_from_the_environment() {
    let variables = [
        ("INT", "22"),
        ("SUFFIX", "3k"),
        ("ARRAY", "[1,2]"),
        ("MAP", "{a:1}"),
        ("QUOTED", "\"a b\""),
        ("EMPTY", ""),
        ("CHAIN", "$INT"),
        ("TWO", "foo bar"),
        ("OPEN", "[1"),
        ("BROKEN", "$TWO"),
        ("SELF", "$SELF"),
        ("PING", "[$PONG]"),
        ("PONG", "$PING"),
        ("FILE", "1\ninclude x.conf"),
    ];
    let parse = |text: &str| {
        parse_text(
            Path::new("t.conf"),
            text.as_bytes(),
            &mut fixture(&[("x.conf", "")], &variables),
        )
    };
    for (name, tree) in [
        ("INT", "22"),
        ("SUFFIX", "3000"),
        ("ARRAY", "[1,2]"),
        ("MAP", r#"{"a":1}"#),
        ("QUOTED", r#""a b""#),
        ("EMPTY", r#""""#),
        ("CHAIN", "22"),
    ] {
        let map = parse(&format!("v = ${name}")).unwrap();
        assert_eq!(shown(&map), format!(r#"{{"v":{tree}}}"#));
    }
    for name in ["TWO", "OPEN", "BROKEN", "FILE"] {
        let expected =
            format!("t.conf:1:5: Variable reference for '{name}' on line 1 can not be found.");
        assert_eq!(
            parse(&format!("v = ${name}")).unwrap_err().to_string(),
            expected
        );
    }
    for name in ["SELF", "PING"] {
        let expected = format!("t.conf:1:5: variable reference cycle for '{name}'");
        assert_eq!(
            parse(&format!("v = ${name}")).unwrap_err().to_string(),
            expected
        );
    }
    assert_eq!(
        shown(&parse("INT = 1\nv = $INT").unwrap()),
        r#"{"INT":1,"v":1}"#
    );
}

#[test]
fn includes() {
    let files = [
        (
            "etc/main.conf",
            "a = 1\nInclude ./sub/one.conf\nb = $one\nm { include 'two.conf' }",
        ),
        (
            "etc/./sub/one.conf",
            "a = 2; one = 1\ninclude \"two.conf\"; c = 3",
        ),
        ("etc/./sub/two.conf", "deep = true"),
        ("etc/two.conf", "t = 2 "),
        ("abs.conf", "include /etc/x,y.conf;"),
        ("/etc/x,y.conf", "x = 1"),
        ("scope.conf", "v = 1\ninclude needs.conf"),
        ("needs.conf", "w = $v"),
        ("bad.conf", "\n include inner.conf"),
        ("inner.conf", "x = 1 y"),
        ("self.conf", "include ./self.conf"),
        ("ping.conf", "include pong.conf"),
        ("pong.conf", "m { include ping.conf }"),
        ("gone.conf", "include nowhere.conf"),
        ("link.conf", "include d/link.conf"),
    ];
    let parse = |name: &str| parse_file(Path::new(name), &mut fixture(&files, &[]));
    assert_eq!(
        shown(&parse("etc/main.conf").unwrap()),
        r#"{"a":2,"one":1,"deep":true,"c":3,"b":1,"m":{"t":2}}"#
    );
    let map = parse("etc/main.conf").unwrap();
    assert_eq!(
        map.entry("deep").unwrap().value.position.to_string(),
        "etc/./sub/two.conf:1:8"
    );
    assert_eq!(shown(&parse("abs.conf").unwrap()), r#"{"x":1}"#);
    for (name, error) in [
        (
            "nowhere.conf",
            "error opening config file: open nowhere.conf: no such file or directory",
        ),
        (
            "gone.conf",
            "gone.conf:1:1: Error parsing include file 'nowhere.conf', error opening config file: \
             open nowhere.conf: no such file or directory.",
        ),
        (
            "bad.conf",
            "bad.conf:2:2: Error parsing include file 'inner.conf', inner.conf:1:7: Expected a \
             top-level value to end with a new line, comment or EOF, but got 'y' instead..",
        ),
        (
            "scope.conf",
            "scope.conf:2:1: Error parsing include file 'needs.conf', needs.conf:1:5: Variable \
             reference for 'v' on line 1 can not be found..",
        ),
        (
            "self.conf",
            "self.conf:1:1: Error parsing include file './self.conf', the file includes itself.",
        ),
        (
            "ping.conf",
            "ping.conf:1:1: Error parsing include file 'pong.conf', pong.conf:1:5: Error parsing \
             include file 'ping.conf', the file includes itself..",
        ),
    ] {
        assert_eq!(parse(name).unwrap_err().to_string(), error);
    }
    check_errors(&[
        (
            "include [",
            "1:9: Expected include value but found start of an array",
        ),
        (
            "include {",
            "1:9: Expected include value but found start of a map",
        ),
        (
            "include (",
            "1:9: Expected include value but found start of a block",
        ),
        (
            "include 5",
            "1:9: Expected include value but found start of a number",
        ),
        (
            "include \\",
            "1:9: Expected include value but found escape sequence",
        ),
        (
            "include \n",
            "1:9: Expected include value but found new line",
        ),
    ]);
}

#[test]
fn an_error_is_one_line_whatever_it_quotes() {
    check_errors(&[
        (
            "include \"a\n\x1bb\"",
            "1:1: Error parsing include file 'a\\n\\u{1b}b', error opening config file: open a\\n\\u{1b}b: no \
             such file or directory.",
        ),
        (
            "a = $\x1b[31m",
            "1:5: Variable reference for '\\u{1b}[31m' on line 1 can not be found.",
        ),
    ]);
    let error = parse_text(Path::new("a\nb"), b"=", &mut Fixture::default()).unwrap_err();
    assert_eq!(error.to_string(), "a\\nb:1:1: Unexpected key separator '='");
}

/// A tree of files without end: every file includes another.
struct Endless;

impl Sources for Endless {
    fn read_file(&mut self, _: &Path) -> Result<Vec<u8>, String> {
        Ok(b"include d/x.conf".to_vec())
    }

    fn variable(&self, name: &str) -> Option<String> {
        Some(format!("[$x{name}]"))
    }
}

fn innermost(error: ConfError) -> Problem {
    match error.problem {
        Problem::Include { inner, .. } => innermost(*inner),
        problem => problem,
    }
}

#[test]
fn what_has_no_end_is_refused() {
    let deep = |open: &str, times| parse(format!("a = {}", open.repeat(times)));
    assert_eq!(deep("[", 100_000).unwrap_err().problem, Problem::TooDeep);
    assert_eq!(deep("{a ", 100_000).unwrap_err().problem, Problem::TooDeep);
    let levels = NESTING_MAX - 1;
    assert!(parse(format!("a = {}{}", "[".repeat(levels), "]".repeat(levels))).is_ok());

    // Depth through variables, a step at a time.
    let mut text = "a0 = [1]\n".to_owned();
    for step in 0..NESTING_MAX {
        writeln!(text, "a{} = [$a{step}]", step + 1).unwrap();
    }
    assert_eq!(parse(text).unwrap_err().problem, Problem::TooDeep);

    // Size through variables, doubling each time.
    let mut text = "a0 = [1,1]\n".to_owned();
    for step in 0..40 {
        writeln!(text, "a{} = [$a{step},$a{step}]", step + 1).unwrap();
    }
    assert_eq!(parse(text).unwrap_err().problem, Problem::TooLarge);

    let endless = |text: &str| parse_text(Path::new("t.conf"), text.as_bytes(), &mut Endless);
    assert_eq!(
        innermost(endless("include x.conf").unwrap_err()),
        Problem::TooDeep
    );
    assert_eq!(innermost(endless("a = $x").unwrap_err()), Problem::TooDeep);
    assert_eq!(
        parse(vec![b' '; INPUT_BYTES_MAX + 1]).unwrap_err().problem,
        Problem::TooLarge
    );
}

#[test]
fn a_megabyte_on_one_line_takes_no_time() {
    let text = format!("a = [{}]", "1,".repeat(500_000));
    let map = parse(text).unwrap();
    let Value::Array(values) = &map.entry("a").unwrap().value.value else {
        panic!()
    };
    assert_eq!(values[499_999].position.column, 1_000_004);
    let many: String = (0..200_000)
        .map(|n| format!("k{} = {n};", n % 1000))
        .collect();
    assert_eq!(parse(many).unwrap().len(), 1000);
}
