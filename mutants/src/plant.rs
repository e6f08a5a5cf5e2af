//! Planting: where a source file can be wrong in a small way, and how it is written so that a number switches the fault on.
//!
//! The faults are those of `cargo mutants`: a function that returns a constant, an operator in place of another, a
//! condition of a `match` arm that always or never holds, an arm that is missing.

use std::cmp::Reverse;
use std::ops::Range;

use proc_macro2::{LineColumn, Span};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Attribute, BinOp, Block, Expr, ImplItemFn, ItemFn, Pat, ReturnType, Signature, Type, UnOp};

/// A small fault, and where it is.
#[derive(Clone, Debug)]
pub struct Mutant {
    /// Its place in the original file, counted from 1.
    pub line: usize,
    /// A sentence without its end: "replace == by != in name".
    pub what: String,
    /// The bytes of the original that it concerns; they identify it together with `what`.
    pub at: Range<usize>,
}

/// A text that goes into the file.
struct Insertion {
    at: usize,
    /// Where the expression that it belongs to begins or ends on its other side.
    other: usize,
    is_suffix: bool,
    text: String,
}

/// A file with its faults.
pub struct Planted {
    pub text: String,
    pub mutants: Vec<Mutant>,
    /// For each fault, the bytes of `text` that exist because of it.
    pub ranges: Vec<Range<usize>>,
}

/// Plants every fault of `source` that `keep` wants. They are numbered from `first` on.
pub fn plant(source: &str, first: usize, keep: impl Fn(&Mutant) -> bool) -> syn::Result<Planted> {
    let file = syn::parse_file(source)?;
    let mut finder = Finder {
        source,
        lines: line_starts(source),
        first,
        keep: &keep,
        within: Vec::new(),
        mutants: Vec::new(),
        insertions: Vec::new(),
    };
    finder.visit_file(&file);
    let Finder { mutants, mut insertions, .. } = finder;
    // At one place: what ends there before what begins, inner ends first, outer beginnings first. A condition can be as long as
    // the operation in it, and is noted before it.
    insertions.reverse();
    insertions.sort_by_key(|one| (one.at, !one.is_suffix, Reverse(one.other)));
    for same in insertions
        .chunk_by_mut(|a, b| !a.is_suffix && (a.at, a.is_suffix, a.other) == (b.at, b.is_suffix, b.other))
    {
        same.reverse();
    }
    let mut text = String::with_capacity(source.len() * 3);
    let mut ranges = vec![0..0; mutants.len()];
    let mut done = 0;
    for one in &insertions {
        text.push_str(&source[done..one.at]);
        done = one.at;
        // A marker before each alternative says whose it is.
        let mut rest = one.text.as_str();
        while let Some(mark) = rest.find('\u{1}') {
            text.push_str(&rest[..mark]);
            let (number, after) = rest[mark + 1..].split_once('\u{2}').expect("a number ends");
            let (alternative, after) = after.split_once('\u{3}').expect("an alternative ends");
            let from = text.len();
            text.push_str(alternative);
            ranges[number.parse::<usize>().expect("a number") - first] = from..text.len();
            rest = after;
        }
        text.push_str(rest);
    }
    text.push_str(&source[done..]);
    Ok(Planted { text, mutants, ranges })
}

struct Finder<'a> {
    source: &'a str,
    lines: Vec<usize>,
    first: usize,
    keep: &'a dyn Fn(&Mutant) -> bool,
    /// The names of the functions around the present place, outermost first, with their types.
    within: Vec<String>,
    mutants: Vec<Mutant>,
    insertions: Vec<Insertion>,
}

impl Finder<'_> {
    fn range(&self, span: Span) -> Range<usize> {
        self.offset(span.start())..self.offset(span.end())
    }

    fn offset(&self, at: LineColumn) -> usize {
        let line = self.lines[at.line - 1];
        let text = &self.source[line..];
        line + text.char_indices().nth(at.column).map_or(text.len(), |(offset, _)| offset)
    }

    fn text(&self, span: Span) -> &str {
        &self.source[self.range(span)]
    }

    /// Notes a fault, and returns its number if it is wanted.
    fn note(&mut self, span: Span, what: String) -> Option<usize> {
        let place = self.within.last().map(|name| format!(" in {name}")).unwrap_or_default();
        let mutant = Mutant { line: span.start().line, what: what + &place, at: self.range(span) };
        (self.keep)(&mutant).then(|| {
            self.mutants.push(mutant);
            self.first + self.mutants.len() - 1
        })
    }

    fn insert(&mut self, at: usize, other: usize, is_suffix: bool, text: String) {
        self.insertions.push(Insertion { at, other, is_suffix, text });
    }

    /// Writes `whole` so that each of the alternatives can take its place.
    fn alternatives(&mut self, whole: Span, alternatives: Vec<(String, String)>) {
        let range = self.range(whole);
        let mut prefix = String::from("(");
        let mut any = false;
        for (what, text) in alternatives {
            if let Some(number) = self.note(whole, what) {
                prefix +=
                    &format!("if crate::mutants::on({number}) {{ \u{1}{number}\u{2}{text}\u{3} }} else ");
                any = true;
            }
        }
        if any {
            prefix += "{ ";
            self.insert(range.start, range.end, false, prefix);
            self.insert(range.end, range.start, true, " })".to_owned());
        }
    }

    fn function(&mut self, signature: &Signature, block: &Block) {
        if signature.constness.is_some() {
            return;
        }
        self.within.push(match self.within.last() {
            Some(outer) if outer.ends_with("::") => format!("{outer}{}", signature.ident),
            _ => signature.ident.to_string(),
        });
        let values = match &signature.output {
            ReturnType::Default => vec!["()".to_owned()],
            ReturnType::Type(_, returned) => values_of(returned),
        };
        let open = self.range(block.brace_token.span.open());
        let mut prefix = String::new();
        for value in values {
            if self.is_the_body(block, &value) {
                continue;
            }
            if let Some(number) = self.note(signature.ident.span(), format!("return {value}")) {
                prefix +=
                    &format!(" if crate::mutants::on({number}) {{ \u{1}{number}\u{2}return {value};\u{3} }}");
            }
        }
        if !prefix.is_empty() {
            self.insert(open.end, open.end, false, prefix);
        }
        visit::visit_block(self, block);
        self.within.pop();
    }

    /// An arm of a `match`: it can be missing, and its condition can hold always or never.
    fn arm(&mut self, whole: &Pat, can_be_missing: bool) {
        let (pattern, guard) = match whole {
            Pat::Guard(guarded) => (&*guarded.pat, Some(&*guarded.guard)),
            _ => (whole, None),
        };
        let name = self.text(pattern.span()).split_whitespace().collect::<Vec<_>>().join(" ");
        if guard.is_some_and(has_let) {
            return;
        }
        let is_missing =
            if can_be_missing { self.note(pattern.span(), format!("delete the arm {name}")) } else { None };
        match guard {
            None => {
                if let Some(number) = is_missing {
                    let range = self.range(pattern.span());
                    self.insert(
                        range.end,
                        range.start,
                        true,
                        format!(" if \u{1}{number}\u{2}!crate::mutants::on({number})\u{3}"),
                    );
                }
            }
            Some(guard) => {
                let always = self.note(guard.span(), format!("the condition of the arm {name} always holds"));
                let never = self.note(guard.span(), format!("the condition of the arm {name} never holds"));
                let mut prefix = String::from("(");
                for number in [is_missing, never].into_iter().flatten() {
                    prefix += &format!("\u{1}{number}\u{2}!crate::mutants::on({number})\u{3} && ");
                }
                prefix += "(";
                if let Some(number) = always {
                    prefix += &format!("\u{1}{number}\u{2}crate::mutants::on({number})\u{3} || ");
                }
                let range = self.range(guard.span());
                self.insert(range.start, range.end, false, prefix);
                self.insert(range.end, range.start, true, "))".to_owned());
            }
        }
    }

    fn is_the_body(&self, block: &Block, value: &str) -> bool {
        block.stmts.is_empty() || matches!(&block.stmts[..], [one] if self.text(one.span()) == value)
    }
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if !is_for_tests(&module.attrs) {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_const(&mut self, _: &'ast syn::ItemConst) {}
    fn visit_item_static(&mut self, _: &'ast syn::ItemStatic) {}
    fn visit_impl_item_const(&mut self, _: &'ast syn::ImplItemConst) {}
    fn visit_expr_const(&mut self, _: &'ast syn::ExprConst) {}
    fn visit_type(&mut self, _: &'ast Type) {}
    fn visit_pat(&mut self, pattern: &'ast Pat) {
        if let Pat::Guard(guarded) = pattern {
            self.visit_expr(&guarded.guard);
        }
    }
    fn visit_expr_repeat(&mut self, repeat: &'ast syn::ExprRepeat) {
        self.visit_expr(&repeat.expr);
    }

    fn visit_item_fn(&mut self, function: &'ast ItemFn) {
        if !is_for_tests(&function.attrs) {
            self.function(&function.sig, &function.block);
        }
    }

    fn visit_item_impl(&mut self, block: &'ast syn::ItemImpl) {
        // A fault there changes what a failed test prints, and nothing else.
        let is_debug = block
            .trait_
            .as_ref()
            .is_some_and(|(path, _)| path.segments.last().is_some_and(|name| name.ident == "Debug"));
        if is_debug || is_for_tests(&block.attrs) {
            return;
        }
        let name = self.text(block.self_ty.span()).split('<').next().unwrap_or_default().to_owned();
        self.within.push(format!("{name}::"));
        visit::visit_item_impl(self, block);
        self.within.pop();
    }

    fn visit_impl_item_fn(&mut self, function: &'ast ImplItemFn) {
        if !is_for_tests(&function.attrs) {
            self.function(&function.sig, &function.block);
        }
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        if let Some(block) = &function.default {
            self.function(&function.sig, block);
        }
    }

    fn visit_expr_binary(&mut self, binary: &'ast syn::ExprBinary) {
        visit::visit_expr_binary(self, binary);
        if has_let(&binary.left) || has_let(&binary.right) {
            return;
        }
        let operator = self.text(binary.op.span()).to_owned();
        let alternatives: Vec<_> = others(&binary.op)
            .iter()
            .map(|other| {
                let text =
                    format!("{} {other} {}", self.text(binary.left.span()), self.text(binary.right.span()));
                (format!("replace {operator} by {other}"), text)
            })
            .collect();
        self.alternatives(binary.span(), alternatives);
    }

    fn visit_expr_unary(&mut self, unary: &'ast syn::ExprUnary) {
        visit::visit_expr_unary(self, unary);
        if matches!(unary.op, UnOp::Not(_) | UnOp::Neg(_)) {
            let operator = self.text(unary.op.span()).to_owned();
            let text = self.text(unary.expr.span()).to_owned();
            self.alternatives(unary.span(), vec![(format!("delete {operator}"), text)]);
        }
    }

    fn visit_expr_match(&mut self, decision: &'ast syn::ExprMatch) {
        let has_rest = decision.arms.last().is_some_and(|arm| matches!(arm.pat, Pat::Wild(_)));
        for (index, arm) in decision.arms.iter().enumerate() {
            let can_be_missing = has_rest && index + 1 < decision.arms.len();
            self.arm(&arm.pat, can_be_missing);
        }
        visit::visit_expr_match(self, decision);
    }
}

/// The operators that could stand in place of this one.
fn others(operator: &BinOp) -> &'static [&'static str] {
    match operator {
        BinOp::Eq(_) => &["!="],
        BinOp::Ne(_) => &["=="],
        BinOp::Lt(_) => &["<=", ">"],
        BinOp::Le(_) => &["<", ">"],
        BinOp::Gt(_) => &[">=", "<"],
        BinOp::Ge(_) => &[">", "<"],
        BinOp::And(_) => &["||"],
        BinOp::Or(_) => &["&&"],
        BinOp::Add(_) => &["-", "*"],
        BinOp::Sub(_) => &["+", "/"],
        BinOp::Mul(_) => &["+", "/"],
        BinOp::Div(_) => &["%", "*"],
        BinOp::Rem(_) => &["/", "+"],
        BinOp::Shl(_) => &[">>"],
        BinOp::Shr(_) => &["<<"],
        BinOp::BitAnd(_) => &["|", "^"],
        BinOp::BitOr(_) => &["&", "^"],
        BinOp::BitXor(_) => &["|", "&"],
        BinOp::AddAssign(_) => &["-=", "*="],
        BinOp::SubAssign(_) => &["+="],
        BinOp::MulAssign(_) => &["+="],
        BinOp::BitAndAssign(_) => &["|="],
        BinOp::BitOrAssign(_) => &["&="],
        BinOp::BitXorAssign(_) => &["|="],
        BinOp::ShlAssign(_) => &[">>="],
        BinOp::ShrAssign(_) => &["<<="],
        _ => &[],
    }
}

/// Constants that a function of this type could return. Those that the compiler refuses are left out later.
fn values_of(returned: &Type) -> Vec<String> {
    let of = |values: &[&str]| values.iter().map(|&value| value.to_owned()).collect();
    match returned {
        Type::Path(path) => {
            let last = path.path.segments.last().expect("a path has a name");
            let inner = match &last.arguments {
                syn::PathArguments::AngleBracketed(list) => {
                    list.args.iter().find_map(|argument| match argument {
                        syn::GenericArgument::Type(inner) => Some(values_of(inner)),
                        _ => None,
                    })
                }
                _ => None,
            };
            let wrapped = |before: &str, after: &str| {
                inner.iter().flatten().map(|value| format!("{before}{value}{after}")).collect::<Vec<_>>()
            };
            match last.ident.to_string().as_str() {
                "bool" => of(&["true", "false"]),
                "u8" | "u16" | "u32" | "u64" | "u128" | "usize" => of(&["0", "1"]),
                "i8" | "i16" | "i32" | "i64" | "i128" | "isize" => of(&["0", "1", "-1"]),
                "f32" | "f64" => of(&["0.0", "1.0"]),
                "String" => of(&["String::new()", "String::from(\"xyzzy\")"]),
                "Option" => [of(&["None"]), wrapped("Some(", ")")].concat(),
                "Result" => wrapped("Ok(", ")"),
                "Vec" => [of(&["Vec::new()"]), wrapped("vec![", "]")].concat(),
                "Box" | "Arc" | "Rc" => wrapped(&format!("{}::new(", last.ident), ")"),
                _ => of(&["Default::default()"]),
            }
        }
        Type::Tuple(tuple) if tuple.elems.is_empty() => of(&["()"]),
        Type::Tuple(tuple) => {
            let firsts: Vec<_> =
                tuple.elems.iter().map(|element| values_of(element).into_iter().next()).collect();
            if firsts.iter().all(Option::is_some) {
                vec![format!("({})", firsts.into_iter().flatten().collect::<Vec<_>>().join(", "))]
            } else {
                Vec::new()
            }
        }
        Type::Reference(reference) if reference.mutability.is_none() => match &*reference.elem {
            Type::Path(path) if path.path.is_ident("str") => of(&["\"\"", "\"xyzzy\""]),
            Type::Slice(_) => of(&["&[]"]),
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

fn has_let(expression: &Expr) -> bool {
    match expression {
        Expr::Let(_) => true,
        Expr::Binary(binary) => has_let(&binary.left) || has_let(&binary.right),
        _ => false,
    }
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let tokens = match &attribute.meta {
            syn::Meta::List(list) => list.tokens.to_string(),
            _ => String::new(),
        };
        attribute.path().is_ident("test")
            || (attribute.path().is_ident("cfg") && tokens.contains("test") && !tokens.contains("not"))
    })
}

fn line_starts(source: &str) -> Vec<usize> {
    std::iter::once(0).chain(source.match_indices('\n').map(|(at, _)| at + 1)).collect()
}
