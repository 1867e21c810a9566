//! The `options` start-up parameter: command-line switches of the server, of which only settings are read.

/// The settings in `-c name=value`, `-cname=value` and `--name=value`; anything else is an error.
///
/// White space separates, a backslash keeps the next character (as in PostgreSQL's `pg_split_opts`).
pub fn options(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut settings = Vec::new();
    let mut words = words(text).into_iter();
    while let Some(word) = words.next() {
        let setting = match word.strip_prefix("--") {
            Some(long) => long.to_owned(),
            None => match word.strip_prefix("-c") {
                Some("") => words.next().ok_or("`-c` with nothing behind it")?,
                Some(short) => short.to_owned(),
                None => return Err(format!("`{word}` is not a setting")),
            },
        };
        let (name, value) = setting.split_once('=').ok_or_else(|| format!("`{setting}` has no value"))?;
        // The server reads a dash in a setting's name as an underscore.
        settings.push((name.replace('-', "_"), value.to_owned()));
    }
    Ok(settings)
}

fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut inside) = (Vec::new(), String::new(), false);
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character.is_ascii_whitespace() || character == '\u{b}' {
            if inside {
                words.push(std::mem::take(&mut word));
            }
            inside = false;
            continue;
        }
        inside = true;
        match character {
            '\\' => word.extend(characters.next()),
            other => word.push(other),
        }
    }
    if inside {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_setting_is_read() {
        let expected = vec![("work_mem".to_owned(), "1MB".to_owned())];
        for text in ["-c work_mem=1MB", "-cwork_mem=1MB", "--work_mem=1MB", "--work-mem=1MB", " \t-c  work_mem=1MB\n"] {
            assert_eq!(options(text), Ok(expected.clone()), "{text}");
        }
        assert_eq!(options(r"-c search_path=a,\ b"), Ok(vec![("search_path".to_owned(), "a, b".to_owned())]));
        assert_eq!(options(""), Ok(vec![]));
    }

    #[test]
    fn other_switches_are_refused() {
        for text in ["-f s", "-c", "-c work_mem", "work_mem=1", "-W 5", "--single"] {
            assert!(options(text).is_err(), "{text}");
        }
    }
}
