//! JSON's values as YAML: one key a line, texts in double quotes, as YAML 1.2 takes them from JSON.

use serde_json::Value;

/// The value as a document.
pub(super) fn yaml(value: &Value) -> String {
    let mut text = String::new();
    put(value, 0, &mut text);
    text
}

/// Puts a value behind a key, or at the beginning of a line.
fn put(value: &Value, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                text.push_str(&format!("{indent}{}:", Value::from(key.as_str())));
                put_behind(value, depth, text);
            }
        }
        // Lists of plain values stay on one line.
        Value::Array(list) if list.iter().any(is_nested) => {
            for value in list {
                text.push_str(&format!("{indent}-"));
                put_behind(value, depth, text);
            }
        }
        plain => text.push_str(&format!("{plain}\n")),
    }
}

fn put_behind(value: &Value, depth: usize, text: &mut String) {
    match is_nested(value) {
        true => {
            text.push('\n');
            put(value, depth + 1, text);
        }
        false => text.push_str(&format!(" {value}\n")),
    }
}

/// Whether it takes lines of its own.
fn is_nested(value: &Value) -> bool {
    match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(list) => list.iter().any(is_nested),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::yaml;

    #[test]
    fn lists_and_maps_are_indented_and_texts_quoted() {
        let value = serde_json::json!({
            "name": "a: \"b\"\n# c",
            "axes": [{"id": "y", "size": {"min": 1}}, {"id": "x"}],
            "tags": ["one", "no"],
            "none": {},
        });
        let expected = "\"name\": \"a: \\\"b\\\"\\n# c\"\n\"axes\":\n  -\n    \"id\": \"y\"\n    \
                        \"size\":\n      \"min\": 1\n  -\n    \"id\": \"x\"\n\
                        \"tags\": [\"one\",\"no\"]\n\"none\": {}\n";
        assert_eq!(yaml(&value), expected);
    }
}
