//! Drafts a new `sereno.toml`: its content, and its text.
//!
//! | module | what it holds |
//! |---|---|
//! | here | services with their keys and remarks, as TOML with comments |
//! | [`settle`] | removes the keys that this version refuses, with the reason |
//! | [`look`] | finds in a folder how its programs are started |
//! | [`node`], [`python`] | the same for a `package.json` and for Python |
//! | [`procfile`] | reads a `Procfile` |

pub(crate) mod look;
mod node;
pub(crate) mod procfile;
mod python;
pub(crate) mod settle;

use toml_edit::{Array, InlineTable, Key, Value};

/// Maximum width of an inline table; a wider one is written on several lines.
const LINE: usize = 100;

/// A draft of a file.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    /// Comment at the top.
    pub(crate) head: Vec<String>,
    /// Services in the order in which they are written.
    pub(crate) services: Vec<Service>,
    /// Comment at the end.
    pub(crate) tail: Vec<String>,
}

/// A draft of a service.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    /// Name of the service; already valid.
    pub(crate) name: String,
    /// Comment above the service's table.
    pub(crate) comments: Vec<String>,
    keys: Vec<Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    key: String,
    value: Value,
    remark: String,
}

impl Service {
    /// Creates a service without keys.
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.into(), comments: Vec::new(), keys: Vec::new() }
    }

    /// Adds or replaces a key.
    pub(crate) fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.remark(key, value, "");
    }

    /// Adds or replaces a key, with a comment after it.
    pub(crate) fn remark(&mut self, key: &str, value: impl Into<Value>, remark: &str) {
        let entry = Entry { key: key.into(), value: value.into(), remark: remark.into() };
        match self.keys.iter_mut().find(|known| known.key == key) {
            Some(known) => *known = entry,
            None => self.keys.push(entry),
        }
    }

    /// Adds a member to a key that is a table.
    pub(crate) fn put(&mut self, key: &str, member: &str, value: impl Into<Value>) {
        if let Some(entry) = self.keys.iter_mut().find(|entry| entry.key == key)
            && let Some(table) = entry.value.as_inline_table_mut()
        {
            table.insert(member, value.into());
            return;
        }
        let mut table = InlineTable::new();
        table.insert(member, value.into());
        self.set(key, table);
    }

    /// Returns the value of a key.
    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        self.keys.iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    /// Removes a key, or a member of it.
    pub(crate) fn unset(&mut self, path: &str) -> bool {
        let (key, member) = path.split_once('.').map_or((path, None), |(key, member)| (key, Some(member)));
        let Some(at) = self.keys.iter().position(|entry| entry.key == key) else { return false };
        if let (Some(member), Some(table)) = (member, self.keys[at].value.as_inline_table_mut()) {
            let first = member.split('.').next().unwrap_or(member);
            let gone = table.remove(first).is_some();
            if table.is_empty() {
                self.keys.remove(at);
            }
            return gone;
        }
        self.keys.remove(at);
        true
    }

    fn write(&self, out: &mut Vec<String>) {
        out.push(String::new());
        out.extend(self.comments.iter().map(|line| comment(line)));
        let name = Key::new(&self.name).display_repr().into_owned();
        out.push(format!("[services.{name}]"));
        let mut tables = Vec::new();
        for Entry { key, value, remark } in &self.keys {
            let line = format!("{key} = {}", value.to_string().trim());
            match value.as_inline_table() {
                Some(table) if line.len() > LINE => tables.push((key, table)),
                _ if remark.is_empty() => out.push(line),
                _ => out.push(format!("{line}  # {remark}")),
            }
        }
        for (key, table) in tables {
            out.push(format!("[services.{name}.{key}]"));
            for (member, value) in table {
                let member = Key::new(member).display_repr().into_owned();
                out.push(format!("{member} = {}", value.to_string().trim()));
            }
        }
    }
}

impl Draft {
    /// Returns the file's text.
    pub(crate) fn text(&self) -> String {
        let mut lines: Vec<String> = self.head.iter().map(|line| comment(line)).collect();
        for service in &self.services {
            service.write(&mut lines);
        }
        if !self.tail.is_empty() {
            lines.push(String::new());
            lines.extend(self.tail.iter().map(|line| comment(line)));
        }
        let text = lines.join("\n");
        format!("{}\n", text.trim())
    }

    /// Adds a service; if the name is taken, it becomes `name-2`.
    pub(crate) fn add(&mut self, mut service: Service) -> &mut Service {
        let plain = service.name.clone();
        let mut number = 2;
        while self.services.iter().any(|known| known.name == service.name) {
            service.name = format!("{plain}-{number}");
            number += 1;
        }
        self.services.push(service);
        self.services.last_mut().expect("one was added right now")
    }
}

fn comment(line: &str) -> String {
    if line.is_empty() { "#".into() } else { format!("# {line}") }
}

/// Converts a text to a similar valid name.
pub(crate) fn name(text: &str) -> String {
    let safe = |letter: char| {
        if letter.is_ascii_alphanumeric() || ['.', '_', '-'].contains(&letter) { letter } else { '-' }
    };
    let name: String = text.chars().map(safe).collect();
    let name = name.trim_start_matches(['.', '_', '-']).trim_end_matches('-');
    let name: String = name.chars().take(60).collect();
    let taken = ["supervisor", "ctl", "health-monitor", "port-monitor"];
    match &*name {
        "" => "app".into(),
        name if taken.contains(&name) => format!("{name}-app"),
        _ => name,
    }
}

/// Escapes a text so that no variable is expanded in it.
pub(crate) fn literal(text: &str) -> String {
    if text.contains("${") || text.contains("$$") { text.replace('$', "$$") } else { text.into() }
}

/// Returns program and arguments as one string if that is equivalent, else as a list.
pub(crate) fn command(argv: &[String]) -> Value {
    let plain = |word: &String| {
        !word.is_empty()
            && word.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_./:=,@%+".contains(letter))
    };
    if argv.iter().all(plain) {
        return argv.join(" ").into();
    }
    list(argv)
}

/// Returns a list of texts.
pub(crate) fn list(texts: &[String]) -> Value {
    texts.iter().map(|text| Value::from(literal(text))).collect::<Array>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_is_commented_toml() {
        let mut draft = Draft { head: vec!["Made up.".into(), String::new()], ..Draft::default() };
        let mut web = Service::new("web");
        web.comments.push("The page.".into());
        web.set("command", command(&["node".into(), "a b.js".into()]));
        web.remark("port", 80, "why");
        web.put("env", "A", "1");
        web.put("env", "B", literal("${X}$"));
        draft.add(web.clone());
        draft.add(web);
        let text = draft.text();
        assert!(
            text.starts_with(
                "# Made up.\n#\n\n# The page.\n[services.web]\ncommand = [\"node\", \"a b.js\"]\nport = 80  # why\nenv = { A = \"1\", B = \"$${X}$$\" }\n"
            ),
            "{text}"
        );
        assert!(text.contains("[services.web-2]"), "{text}");
    }

    #[test]
    fn a_long_table_is_a_table_of_its_own() {
        let mut web = Service::new("web");
        web.put("env", "A", "x".repeat(120));
        web.set("command", "web");
        let draft = Draft { services: vec![web], ..Draft::default() };
        assert!(draft.text().starts_with("[services.web]\ncommand = \"web\"\n[services.web.env]\nA = \"x"));
    }

    #[test]
    fn any_text_becomes_a_name() {
        for (text, wanted) in
            [("@acme/web app", "acme-web-app"), ("..", "app"), ("supervisor", "supervisor-app"), ("é", "app")]
        {
            assert_eq!(name(text), wanted, "{text}");
            assert!(proto::Name::new(&name(text)).is_ok());
        }
    }
}
