//! Reads a daemon's own table: defaults < file < `SERENO_<TABLE>__<KEY>` < flags.

use std::ffi::OsString;
use std::fmt;

use config::{Map, Source as _, Value};
use serde::de::DeserializeOwned;

/// Unknown keys or invalid values: all of them, one per line.
#[derive(Debug, thiserror::Error)]
#[error("{}", lines(.0))]
pub struct SettingsError(pub Vec<BadSetting>);

/// A setting that can not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadSetting {
    /// Source of the setting: a table, a variable, or a flag.
    pub layer: String,
    /// Key of the setting.
    pub key: String,
    /// Value that was given.
    pub value: String,
    /// Rule that a valid value follows.
    pub rule: String,
}

impl fmt::Display for BadSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} = {:?}: {}", self.layer, self.key, self.value, self.rule)
    }
}

fn lines(bad: &[BadSetting]) -> String {
    bad.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Reads the settings of one daemon.
///
/// `table` is the name of the daemon's table, for example `health-monitor`, and `own` its content as TOML, as
/// `sereno-config` gives it out of the file. `env` is the whole environment; only names with `__` after the
/// table's name are settings. `flags` are the command-line flags, `None` where not given. `T` has a default for every key and denies unknown keys. Each setting is tried alone,
/// so that an error names the layer it came from.
pub fn load<T: DeserializeOwned>(
    table: &str,
    own: &str,
    env: impl IntoIterator<Item = (OsString, OsString)>,
    flags: impl IntoIterator<Item = (&'static str, Option<String>)>,
) -> Result<T, SettingsError> {
    let whole = |error: &config::ConfigError| {
        let (layer, key, value) = (format!("[{table}]"), String::new(), String::new());
        SettingsError(vec![BadSetting { layer, key, value, rule: rule(error) }])
    };
    let own = config::File::from_str(own, config::FileFormat::Toml).collect();
    let mut own: Vec<_> = own.map_err(|error| whole(&error))?.into_iter().collect();
    // The library keeps no order; errors are reported in a fixed order.
    own.sort_by(|a, b| a.0.cmp(&b.0));
    let mut layers: Vec<_> = own.into_iter().map(|(key, value)| (format!("[{table}]"), key, value)).collect();
    layers.extend(variables(table, env));
    layers.extend(flags.into_iter().filter_map(|(key, value)| {
        let flag = format!("--{}", key.replace('_', "-"));
        value.map(|value| (flag, key.to_owned(), Value::from(value)))
    }));

    let mut bad = Vec::new();
    let mut merged: Map<String, Value> = Map::new();
    for (layer, key, value) in layers {
        let alone = Map::from_iter([(key.clone(), value.clone())]);
        if let Err(error) = Value::from(alone).try_deserialize::<T>() {
            bad.push(BadSetting { layer, key, value: value.to_string(), rule: rule(&error) });
        } else {
            merged.insert(key, value);
        }
    }
    if !bad.is_empty() {
        return Err(SettingsError(bad));
    }
    Value::from(merged).try_deserialize().map_err(|error| whole(&error))
}

fn variables(
    table: &str,
    env: impl IntoIterator<Item = (OsString, OsString)>,
) -> Vec<(String, String, Value)> {
    let prefix = format!("SERENO_{}__", table.to_uppercase().replace(['-', '.'], "_"));
    let mut found: Vec<_> = env
        .into_iter()
        .filter_map(|(name, value)| {
            let name = name.to_str()?.to_owned();
            let key = name.strip_prefix(&prefix)?.to_lowercase();
            Some((name, key, Value::from(value.to_string_lossy().into_owned())))
        })
        .collect();
    // The environment has no order; errors are reported in a fixed order.
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

/// Returns the library's message without the position, because the layer tells it better.
fn rule(error: &config::ConfigError) -> String {
    match error {
        config::ConfigError::Type { unexpected, expected, .. } => {
            format!("{unexpected}, expected {expected}")
        }
        config::ConfigError::At { error, .. } => rule(error),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Settings {
        log: String,
        workers: u16,
        listen: Option<String>,
    }

    impl Default for Settings {
        fn default() -> Self {
            Self { log: "info".into(), workers: 1, listen: None }
        }
    }

    fn env(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
        pairs.iter().map(|(name, value)| (name.into(), value.into())).collect()
    }

    #[test]
    fn later_layers_win() {
        let own = "log = \"warn\"\nworkers = 2\nlisten = \"unix:///a\"\n";
        let env = env(&[("SERENO_HEALTH_MONITOR__WORKERS", "3"), ("SERENO_HEALTH_MONITOR__LOG", "debug")]);
        let got: Settings =
            load("health-monitor", own, env, [("log", Some("trace".into())), ("listen", None)])
                .expect("loads");
        assert_eq!(got, Settings { log: "trace".into(), workers: 3, listen: Some("unix:///a".into()) });
        let got: Settings = load("port-monitor", "", [], []).expect("no table is no error");
        assert_eq!(got, Settings::default());
    }

    #[test]
    fn our_own_names_are_no_settings() {
        let env = env(&[
            ("SERENO_UNIT", "x/y/1"),
            ("SERENO_X", "1"),
            ("SERENO_XY__LOG", "1"),
            ("SERENO_LISTEN", ""),
        ]);
        assert_eq!(load::<Settings>("x", "", env, []).expect("loads"), Settings::default());
    }

    #[test]
    fn an_error_names_layer_key_value_and_rule_for_all_at_once() {
        let own = "workers = 99999\nlgo = \"info\"\n";
        let env = env(&[("SERENO_X__WORKERS", "many")]);
        let error = load::<Settings>("x", own, env, [("listn", Some("y".into()))]).expect_err("refused");
        let text = error.to_string();
        let got: Vec<_> = text.lines().collect();
        assert_eq!(got.len(), 4, "{text}");
        for (line, parts) in got.iter().zip([
            ["[x]: lgo = \"info\":", "unknown field `lgo`"],
            ["[x]: workers = \"99999\":", "expected"],
            ["SERENO_X__WORKERS: workers = \"many\":", "expected an integer"],
            ["--listn: listn = \"y\":", "unknown field `listn`"],
        ]) {
            for part in parts {
                assert!(line.contains(part), "{line:?} lacks {part:?}");
            }
        }
    }
}
