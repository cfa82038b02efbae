//! Just enough of Rust's lexical grammar to tell code from comments and literals.

/// What becomes of string literals in [`strip`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strings {
    /// They stay as they are.
    Keep,
    /// Their content becomes blanks.
    Blank,
}

/// The source with comments (and string contents, where asked for) replaced by blanks, so that
/// line numbers stay what they were.
pub fn strip(source: &str, strings: Strings) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    let mut after_word = false;
    while let Some(first) = rest.chars().next() {
        let (len, keep) = if rest.starts_with("//") {
            (rest.find('\n').unwrap_or(rest.len()), false)
        } else if rest.starts_with("/*") {
            (block_comment(rest), false)
        } else if let Some(len) = (!after_word).then(|| raw_string(rest)).flatten() {
            (len, strings == Strings::Keep)
        } else if first == '"' {
            (1 + quoted(rest.get(1..).unwrap_or_default(), '"'), strings == Strings::Keep)
        } else if let Some(len) = char_literal(rest) {
            (len, strings == Strings::Keep)
        } else {
            (first.len_utf8(), true)
        };
        let (token, tail) = rest.split_at_checked(len).unwrap_or((rest, ""));
        if keep {
            out.push_str(token);
        } else {
            out.extend(token.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        }
        after_word = is_word(first);
        rest = tail;
    }
    out
}

/// The identifiers and keywords of a line of code.
pub fn identifiers(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !is_word(c)).filter(|word| !word.is_empty())
}

/// The words that an identifier is put together from, in lower case, and each pair of neighbours
/// joined: `MoveVmError` gives `move`, `vm`, `error`, `movevm` and `vmerror`.
pub fn words(identifier: &str) -> Vec<String> {
    let chars: Vec<char> = identifier.chars().collect();
    let mut words: Vec<String> = vec![String::new()];
    for (i, &c) in chars.iter().enumerate() {
        let before = i.checked_sub(1).and_then(|j| chars.get(j));
        let after = chars.get(i + 1);
        let starts = c.is_uppercase()
            && (before.is_some_and(|b| !b.is_uppercase())
                || after.is_some_and(|a| a.is_lowercase()));
        if c == '_' || starts {
            words.push(String::new());
        }
        if c != '_'
            && let Some(word) = words.last_mut()
        {
            word.extend(c.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    let pairs: Vec<String> =
        words.iter().zip(words.iter().skip(1)).map(|(a, b)| format!("{a}{b}")).collect();
    words.extend(pairs);
    words
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The length of the block comment that `text` starts with; block comments nest.
fn block_comment(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(rest) = text.get(at..)
        && let Some(c) = rest.chars().next()
    {
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth = depth.saturating_sub(1);
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += c.len_utf8();
        }
    }
    text.len()
}

/// The length of the raw string that `text` starts with, if it starts with one.
fn raw_string(text: &str) -> Option<usize> {
    let prefix = ["r", "br", "cr"].into_iter().find(|prefix| {
        text.strip_prefix(prefix).is_some_and(|rest| rest.trim_start_matches('#').starts_with('"'))
    })?;
    let rest = text.get(prefix.len()..)?;
    let hashes = rest.len() - rest.trim_start_matches('#').len();
    let opened = prefix.len() + hashes + 1;
    let close = format!("\"{}", "#".repeat(hashes));
    let end = text.get(opened..)?.find(&close).map(|found| opened + found + close.len());
    Some(end.unwrap_or(text.len()))
}

/// The length of what is left of a literal after its opening quote, the closing one included.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if !escaped && c == quote {
            return at + quote.len_utf8();
        }
        escaped = !escaped && c == '\\';
    }
    text.len()
}

/// The length of the character literal that `text` starts with; a lifetime is none.
fn char_literal(text: &str) -> Option<usize> {
    let inner = text.strip_prefix('\'')?;
    let mut chars = inner.chars();
    let first = chars.next()?;
    let closed = first == '\\' || (first != '\'' && chars.next() == Some('\''));
    closed.then(|| 1 + quoted(inner, '\''))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_go_and_code_stays() {
        let source = "a // b\n/* c /* d */ e\n */ f /// g\nh";
        assert_eq!(strip(source, Strings::Keep).split_whitespace().collect::<String>(), "afh");
        assert_eq!(strip(source, Strings::Keep).lines().count(), source.lines().count());
    }

    #[test]
    fn strings_are_no_comments() {
        let source = r####"let s = "a // b"; let c = '"'; let l: &'x str = r#"" // "#; d // e"####;
        let kept = strip(source, Strings::Keep);
        assert_eq!(kept.trim_end(), source.trim_end_matches("// e").trim_end());
        let blank = strip(source, Strings::Blank);
        assert_eq!(
            identifiers(&blank).collect::<Vec<_>>(),
            ["let", "s", "let", "c", "let", "l", "x", "str", "d"]
        );
    }

    #[test]
    fn escapes_do_not_end_a_literal() {
        let source = r#"f("\" // ", '\'', '\\', b'\n') // gone"#;
        assert_eq!(strip(source, Strings::Keep).trim_end(), source.trim_end_matches(" // gone"));
    }

    #[test]
    fn what_is_never_closed_ends_with_the_file() {
        for source in ["/* a", "\"a", "r#\"a\"", "'\\", "'", "r", "é\"é"] {
            assert_eq!(strip(source, Strings::Keep).lines().count(), 1, "{source}");
        }
    }

    #[test]
    fn identifiers_fall_into_words() {
        assert_eq!(words("EVMState"), ["evm", "state", "evmstate"]);
        assert_eq!(words("MoveVm"), ["move", "vm", "movevm"]);
        assert_eq!(words("run_svm"), ["run", "svm", "runsvm"]);
        assert_eq!(words("event"), ["event"]);
        assert!(words("__").is_empty());
    }
}
