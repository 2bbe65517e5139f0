//! From text to a syntax tree, by recursive descent. The depth of recursion is bounded by
//! [`MAX_FILTER_DEPTH`]; chains of `&&` and `||` are flat.

use super::FilterError;
use super::lex::{Lexer, Token};
use crate::limits::{MAX_FILTER_BYTES, MAX_FILTER_DEPTH, MAX_FILTER_TERMS};

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expr {
    /// At least two.
    Any(Vec<Expr>),
    /// At least two.
    All(Vec<Expr>),
    Not(Box<Expr>),
    Test(Test),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Test {
    /// A boolean field by itself.
    Bare(Field),
    Compare(Field, Op, Literal),
    Fields(Field, Op, Field),
    In(Field, Vec<Literal>),
    StartsWith(Field, Literal),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Field {
    pub(super) dotted: String,
    pub(super) at: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Literal {
    pub(super) value: Constant,
    pub(super) at: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Constant {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

impl Op {
    fn of(sign: &str) -> Option<Self> {
        Some(match sign {
            "==" => Self::Eq,
            "!=" => Self::Ne,
            "<" => Self::Lt,
            "<=" => Self::Le,
            ">" => Self::Gt,
            ">=" => Self::Ge,
            _ => return None,
        })
    }

    pub(super) const fn sign(self) -> &'static str {
        match self {
            Self::Eq => "==",
            Self::Ne => "!=",
            Self::Lt => "<",
            Self::Le => "<=",
            Self::Gt => ">",
            Self::Ge => ">=",
        }
    }

    /// With the sides swapped.
    const fn flipped(self) -> Self {
        match self {
            Self::Eq => Self::Eq,
            Self::Ne => Self::Ne,
            Self::Lt => Self::Gt,
            Self::Le => Self::Ge,
            Self::Gt => Self::Lt,
            Self::Ge => Self::Le,
        }
    }

    pub(super) const fn is_order(self) -> bool {
        !matches!(self, Self::Eq | Self::Ne)
    }
}

/// Words that CEL keeps for itself (cel-spec, "RESERVED" and keywords).
const RESERVED: [&str; 20] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "while",
];

pub(super) fn parse(text: &str) -> Result<Expr, FilterError> {
    if text.len() > MAX_FILTER_BYTES {
        let message = format!("the filter has {} bytes; at most {MAX_FILTER_BYTES} are allowed", text.len());
        return Err(FilterError::new(MAX_FILTER_BYTES, message).hint("split the grant"));
    }
    let mut lexer = Lexer::new(text);
    let (at, token) = lexer.next()?;
    if token == Token::End {
        return Err(FilterError::new(at, "the filter is empty").hint("leave it out to grant all rows"));
    }
    let mut parser = Parser { lexer, at, token, depth: 0, terms: 0 };
    let expr = parser.any()?;
    match parser.token {
        Token::End => Ok(expr),
        Token::Sign(")") => Err(FilterError::new(parser.at, "this parenthesis was not opened")),
        _ => Err(FilterError::new(parser.at, "the filter should end here").hint("join conditions with && or ||")),
    }
}

enum Operand {
    Field(Field),
    Literal(Literal),
    /// `field.startsWith("…")`
    Test(Test),
}

struct Parser<'t> {
    lexer: Lexer<'t>,
    at: usize,
    token: Token,
    depth: usize,
    terms: usize,
}

impl Parser<'_> {
    fn advance(&mut self) -> Result<(usize, Token), FilterError> {
        let (at, token) = self.lexer.next()?;
        Ok((std::mem::replace(&mut self.at, at), std::mem::replace(&mut self.token, token)))
    }

    fn accept(&mut self, sign: &str) -> Result<bool, FilterError> {
        let here = matches!(self.token, Token::Sign(s) if s == sign);
        if here {
            self.advance()?;
        }
        Ok(here)
    }

    fn term(&mut self) -> Result<(), FilterError> {
        self.terms += 1;
        if self.terms > MAX_FILTER_TERMS {
            let message = format!("the filter has more than {MAX_FILTER_TERMS} comparisons and list members");
            return Err(FilterError::new(self.at, message).hint("split the grant"));
        }
        Ok(())
    }

    fn deeper<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T, FilterError>) -> Result<T, FilterError> {
        self.depth += 1;
        if self.depth > MAX_FILTER_DEPTH {
            let message = format!("parentheses and ! are nested deeper than {MAX_FILTER_DEPTH}");
            return Err(FilterError::new(self.at, message).hint("take some out"));
        }
        let result = inner(self);
        self.depth -= 1;
        result
    }

    fn any(&mut self) -> Result<Expr, FilterError> {
        let mut parts = vec![self.all()?];
        while self.accept("||")? {
            parts.push(self.all()?);
        }
        Ok(flat(parts, Expr::Any, |expr| match expr {
            Expr::Any(inner) => Ok(inner),
            other => Err(other),
        }))
    }

    fn all(&mut self) -> Result<Expr, FilterError> {
        let mut parts = vec![self.relation()?];
        while self.accept("&&")? {
            parts.push(self.relation()?);
        }
        Ok(flat(parts, Expr::All, |expr| match expr {
            Expr::All(inner) => Ok(inner),
            other => Err(other),
        }))
    }

    fn relation(&mut self) -> Result<Expr, FilterError> {
        if matches!(self.token, Token::Sign("!" | "(")) {
            let expr = self.unary()?;
            self.no_relation()?;
            return Ok(expr);
        }
        self.term()?;
        let left = self.operand()?;
        let at = self.at;
        if let Token::Sign(sign) = self.token
            && let Some(op) = Op::of(sign)
        {
            self.advance()?;
            let right = self.operand()?;
            self.no_relation()?;
            return Ok(Expr::Test(match (left, right) {
                (Operand::Field(field), Operand::Literal(literal)) => Test::Compare(field, op, literal),
                (Operand::Literal(literal), Operand::Field(field)) => Test::Compare(field, op.flipped(), literal),
                (Operand::Field(left), Operand::Field(right)) => Test::Fields(left, op, right),
                (Operand::Literal(_), Operand::Literal(_)) => {
                    return Err(FilterError::new(at, "two literals are compared").hint("name a field on one side"));
                }
                _ => {
                    return Err(
                        FilterError::new(at, "startsWith is a condition by itself").hint("leave out the comparison")
                    );
                }
            }));
        }
        if self.token == Token::Word("in".to_owned()) {
            self.advance()?;
            let list = self.list()?;
            self.no_relation()?;
            return match left {
                Operand::Field(field) => Ok(Expr::Test(Test::In(field, list))),
                _ => Err(FilterError::new(at, "only a field can be in a list")),
            };
        }
        Self::alone(left)
    }

    /// A condition that is one operand.
    fn alone(operand: Operand) -> Result<Expr, FilterError> {
        match operand {
            Operand::Field(field) => Ok(Expr::Test(Test::Bare(field))),
            Operand::Test(test) => Ok(Expr::Test(test)),
            Operand::Literal(literal) => {
                Err(FilterError::new(literal.at, "a literal is no condition").hint("compare a field with it"))
            }
        }
    }

    fn unary(&mut self) -> Result<Expr, FilterError> {
        if self.accept("!")? {
            return Ok(Expr::Not(Box::new(self.deeper(Self::unary)?)));
        }
        if matches!(self.token, Token::Sign("(")) {
            let (open, _) = self.advance()?;
            let expr = self.deeper(Self::any)?;
            if !self.accept(")")? {
                return Err(FilterError::new(open, "this parenthesis is not closed"));
            }
            return Ok(expr);
        }
        self.term()?;
        let operand = self.operand()?;
        Self::alone(operand)
    }

    /// CEL binds `!` tighter than a comparison, and compares conditions as values; the subset does neither.
    fn no_relation(&self) -> Result<(), FilterError> {
        let relation = match &self.token {
            Token::Sign(sign) => Op::of(sign).is_some(),
            Token::Word(word) => word == "in",
            _ => false,
        };
        if relation {
            return Err(FilterError::new(self.at, "a condition cannot be compared")
                .hint("compare fields and literals; put the comparison in parentheses after !"));
        }
        Ok(())
    }

    fn operand(&mut self) -> Result<Operand, FilterError> {
        if let Token::Word(word) = &self.token
            && !matches!(word.as_str(), "true" | "false" | "null" | "in")
        {
            return self.member();
        }
        self.literal().map(Operand::Literal)
    }

    fn literal(&mut self) -> Result<Literal, FilterError> {
        let value = match &self.token {
            Token::Int(n) => Constant::Int(*n),
            Token::Double(x) => Constant::Double(*x),
            Token::Text(text) => Constant::Text(text.clone()),
            Token::Word(word) if word == "true" => Constant::Bool(true),
            Token::Word(word) if word == "false" => Constant::Bool(false),
            Token::Word(word) if word == "null" => Constant::Null,
            Token::Word(_) => {
                return Err(FilterError::new(self.at, "a literal is expected here").hint("texts stand in quotes"));
            }
            Token::End => return Err(FilterError::new(self.at, "the filter ends too early")),
            Token::Sign(_) => return Err(FilterError::new(self.at, "a field or a literal is expected here")),
        };
        let (at, _) = self.advance()?;
        Ok(Literal { value, at })
    }

    fn member(&mut self) -> Result<Operand, FilterError> {
        let at = self.at;
        let mut dotted = self.word()?;
        loop {
            if matches!(self.token, Token::Sign("(" | "[")) {
                return Err(FilterError::new(self.at, "there are no functions and no indexes in a filter")
                    .hint("only field.startsWith(\"…\") is there"));
            }
            if let Token::Text(_) = self.token {
                return Err(FilterError::new(self.at, "a text cannot follow a name")
                    .hint("raw texts and bytes are not in the subset"));
            }
            if !self.accept(".")? {
                return Ok(Operand::Field(Field { dotted, at }));
            }
            let name = self.word()?;
            if name == "startsWith" && matches!(self.token, Token::Sign("(")) {
                self.advance()?;
                let text = self.literal()?;
                if !self.accept(")")? {
                    return Err(FilterError::new(self.at, "startsWith takes one text").hint("close it with )"));
                }
                return Ok(Operand::Test(Test::StartsWith(Field { dotted, at }, text)));
            }
            dotted.push('.');
            dotted.push_str(&name);
        }
    }

    fn word(&mut self) -> Result<String, FilterError> {
        match &self.token {
            Token::Word(word) if RESERVED.contains(&word.as_str()) => {
                Err(FilterError::new(self.at, format!("{word} is a reserved word of CEL"))
                    .hint("a field of that name cannot be filtered on"))
            }
            Token::Word(word) => {
                let word = word.clone();
                self.advance()?;
                Ok(word)
            }
            _ => Err(FilterError::new(self.at, "a field name is expected here")),
        }
    }

    fn list(&mut self) -> Result<Vec<Literal>, FilterError> {
        let open = self.at;
        if !self.accept("[")? {
            return Err(FilterError::new(self.at, "a list is expected after in").hint("write it in [ ]"));
        }
        let mut list = Vec::new();
        while !self.accept("]")? {
            self.term()?;
            list.push(self.literal()?);
            // CEL allows a comma after the last.
            if !self.accept(",")? && !matches!(self.token, Token::Sign("]")) {
                return Err(FilterError::new(self.at, "a comma or ] is expected here"));
            }
        }
        if list.is_empty() {
            return Err(FilterError::new(open, "the list is empty, so that no row would match"));
        }
        Ok(list)
    }
}

/// One expression alone as it is; several joined, those that are joined alike taken apart.
fn flat(parts: Vec<Expr>, join: fn(Vec<Expr>) -> Expr, open: fn(Expr) -> Result<Vec<Expr>, Expr>) -> Expr {
    let mut flat = Vec::with_capacity(parts.len());
    for part in parts {
        match open(part) {
            Ok(inner) => flat.extend(inner),
            Err(other) => flat.push(other),
        }
    }
    if flat.len() == 1 { flat.remove(0) } else { join(flat) }
}
