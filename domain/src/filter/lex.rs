//! The tokens of a filter. Source: cel-spec, "Syntax" (lexis).

use super::FilterError;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Word(String),
    Int(i64),
    Double(f64),
    Text(String),
    /// An operator or a bracket.
    Sign(&'static str),
    End,
}

/// Longest first.
const SIGNS: [&str; 16] = ["==", "!=", "<=", ">=", "&&", "||", "<", ">", "!", "(", ")", "[", "]", ",", ".", "-"];

pub(super) struct Lexer<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Lexer<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, at: 0 }
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// The next token and where it starts.
    pub(super) fn next(&mut self) -> Result<(usize, Token), FilterError> {
        self.blank();
        let (at, rest) = (self.at, self.rest());
        let Some(first) = rest.chars().next() else { return Ok((at, Token::End)) };
        let token = match first {
            'a'..='z' | 'A'..='Z' | '_' => self.word(),
            '0'..='9' => self.number(false)?,
            '-' if rest[1..].starts_with(|c: char| c.is_ascii_digit()) => {
                self.at += 1;
                self.number(true)?
            }
            '"' | '\'' => self.string(first)?,
            _ => {
                let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign)).ok_or_else(|| {
                    let error = FilterError::new(at, "this character has no meaning in a filter");
                    match first {
                        '=' => error.hint("equality is =="),
                        '&' => error.hint("and is &&"),
                        '|' => error.hint("or is ||"),
                        '“' | '”' | '‘' | '’' => error.hint("use straight quotes: \" or '"),
                        '+' | '*' | '/' | '%' | '?' => error.hint("a filter compares; it does not calculate"),
                        _ => error,
                    }
                })?;
                self.at += sign.len();
                Token::Sign(sign)
            }
        };
        Ok((at, token))
    }

    /// Space and `//` comments.
    fn blank(&mut self) {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start_matches([' ', '\t', '\n', '\r', '\x0c']);
            self.at += rest.len() - trimmed.len();
            if !trimmed.starts_with("//") {
                return;
            }
            self.at += trimmed.find(['\n', '\r']).unwrap_or(trimmed.len());
        }
    }

    fn word(&mut self) -> Token {
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        self.at += end;
        Token::Word(rest[..end].to_owned())
    }

    fn number(&mut self, negative: bool) -> Result<Token, FilterError> {
        let (start, rest) = (self.at, self.rest());
        // Everything that clings to it, so that `1u`, `0x1g` and `1.2.3` are one bad number and not two tokens.
        let mut end = 0;
        let mut previous = ' ';
        for c in rest.chars() {
            let exponent_sign = matches!(c, '+' | '-') && matches!(previous, 'e' | 'E') && !rest.starts_with("0x");
            if !(c.is_ascii_alphanumeric() || c == '_' || c == '.' || exponent_sign) {
                break;
            }
            end += c.len_utf8();
            previous = c;
        }
        self.at += end;
        let digits = &rest[..end];
        let signed = |digits: &str| if negative { format!("-{digits}") } else { digits.to_owned() };
        if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
            let good = !hex.is_empty() && hex.bytes().all(|b| b.is_ascii_hexdigit());
            let value = if good { i64::from_str_radix(&signed(hex), 16).ok() } else { None };
            return value.map(Token::Int).ok_or_else(|| bad_number(start));
        }
        if digits.bytes().all(|b| b.is_ascii_digit()) {
            return signed(digits).parse().map(Token::Int).map_err(|_| {
                FilterError::new(start, "the number does not fit into 64 bits")
                    .hint("codes of digits are texts: quote them")
            });
        }
        if let Some(unsigned) = digits.strip_suffix(['u', 'U'])
            && unsigned.bytes().all(|b| b.is_ascii_digit())
        {
            return Err(FilterError::new(start, "there are no unsigned numbers").hint("leave out the u"));
        }
        if !is_decimal(digits) {
            return Err(bad_number(start));
        }
        let value: f64 = signed(digits).parse().map_err(|_| bad_number(start))?;
        if value.is_finite() { Ok(Token::Double(value)) } else { Err(bad_number(start)) }
    }

    fn string(&mut self, quote: char) -> Result<Token, FilterError> {
        let start = self.at;
        self.at += 1;
        let mut text = String::new();
        loop {
            let at = self.at;
            let Some(c) = self.rest().chars().next() else {
                return Err(
                    FilterError::new(start, "the text does not end").hint("close it with the quote it began with")
                );
            };
            self.at += c.len_utf8();
            match c {
                _ if c == quote => return Ok(Token::Text(text)),
                '\n' | '\r' => {
                    return Err(FilterError::new(at, "a text may not go over the end of a line").hint("write \\n"));
                }
                '\\' => text.push(self.escape(at)?),
                _ => text.push(c),
            }
        }
    }

    /// What follows a backslash.
    fn escape(&mut self, at: usize) -> Result<char, FilterError> {
        let bad = || FilterError::new(at, "this escape is not one of CEL's").hint("a backslash itself is \\\\");
        let c = self.rest().chars().next().ok_or_else(bad)?;
        self.at += c.len_utf8();
        let (digits, radix) = match c {
            'a' => return Ok('\x07'),
            'b' => return Ok('\x08'),
            'f' => return Ok('\x0c'),
            'n' => return Ok('\n'),
            'r' => return Ok('\r'),
            't' => return Ok('\t'),
            'v' => return Ok('\x0b'),
            '\\' | '"' | '\'' | '`' | '?' => return Ok(c),
            'x' | 'X' => (2, 16),
            'u' => (4, 16),
            'U' => (8, 16),
            '0'..='3' => {
                // Three octal digits, of which this is the first.
                self.at -= 1;
                (3, 8)
            }
            _ => return Err(bad()),
        };
        let text = self.rest().get(..digits).filter(|t| t.chars().all(|d| d.is_digit(radix))).ok_or_else(bad)?;
        self.at += digits;
        u32::from_str_radix(text, radix).ok().and_then(char::from_u32).ok_or_else(bad)
    }
}

fn bad_number(at: usize) -> FilterError {
    FilterError::new(at, "this is not a number").hint("texts stand in quotes")
}

/// `1.5`, `1.5e3`, `1e3`.
fn is_decimal(text: &str) -> bool {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    let good = match mantissa.split_once('.') {
        Some((whole, fraction)) => digits(whole) && digits(fraction),
        None => digits(mantissa),
    };
    good && exponent.is_none_or(|e| digits(e.strip_prefix(['+', '-']).unwrap_or(e)))
}
