//! The documentation of this version as pages, for operators who cannot reach the web. Pure.

use pulldown_cmark::{CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd, html};

/// The pages by their names, in the order of the list.
macro_rules! pages {
    ($($name:literal),+ $(,)?) => {
        &[$(($name, include_str!(concat!("../../docs/", $name, ".md")))),+]
    };
}

const PAGES: &[(&str, &str)] = pages![
    "quick-start",
    "aws-setup",
    "installing",
    "containers",
    "sizing",
    "configuration",
    "services",
    "custom_service",
    "api_sources",
    "fleet",
    "credentials",
    "switching",
    "upgrading",
    "monitoring",
    "runbook",
    "troubleshooting",
    "faq",
    "tuning",
    "delivery",
    "simulation",
    "audit",
    "backfill",
    "security",
    "pitfalls",
    "concepts",
    "architecture",
    "devo-wire",
    "releasing",
];

/// Returns the title and the body of a page, as HTML; the list of all pages for an empty name. None if there is no such
/// page.
pub fn page(name: &str) -> Option<(String, String)> {
    if name.is_empty() {
        return Some(("Documentation".to_owned(), list()));
    }
    let (_, text) = PAGES.iter().find(|(known, _)| *known == name)?;
    Some((title(text).to_owned(), body(text)))
}

fn list() -> String {
    let mut list = "<h1>Documentation</h1>\n<ul>\n".to_owned();
    for (name, text) in PAGES {
        list.push_str(&format!("<li><a href=\"/docs/{name}\">{}</a></li>\n", title(text)));
    }
    list + "</ul>\n"
}

fn title(text: &str) -> &str {
    text.lines().find_map(|line| line.strip_prefix("# ")).unwrap_or_default()
}

/// Headings get the ids that other pages' links use, links lead to these pages, and whatever is not here (pictures, the
/// repository's files) is left out.
fn body(text: &str) -> String {
    let events: Vec<_> = Parser::new_ext(text, Options::ENABLE_TABLES).collect();
    let mut out = Vec::with_capacity(events.len());
    // For each open link: it leads somewhere.
    let mut links = Vec::new();
    for (at, event) in events.iter().enumerate() {
        match event {
            Event::Start(Tag::Heading { level, .. }) => out.push(Event::Start(Tag::Heading {
                level: *level,
                id: Some(anchor(&heading(&events[at..], *level)).into()),
                classes: Vec::new(),
                attrs: Vec::new(),
            })),
            Event::Start(Tag::Link { link_type, dest_url, title, id }) => {
                let dest = destination(dest_url);
                links.push(dest.is_some());
                if let Some(dest_url) = dest {
                    let (link_type, title, id) = (*link_type, title.clone(), id.clone());
                    out.push(Event::Start(Tag::Link { link_type, dest_url, title, id }));
                }
            }
            Event::End(TagEnd::Link) => {
                if links.pop().unwrap_or(false) {
                    out.push(event.clone());
                }
            }
            // A picture's description stays.
            Event::Start(Tag::Image { .. }) | Event::End(TagEnd::Image) => (),
            Event::Html(_) | Event::InlineHtml(_) => (),
            Event::Start(Tag::Table(_)) => {
                out.push(Event::Html("<div class=\"wide\">".into()));
                out.push(event.clone());
            }
            Event::End(TagEnd::Table) => {
                out.push(event.clone());
                out.push(Event::Html("</div>".into()));
            }
            _ => out.push(event.clone()),
        }
    }
    let mut body = String::new();
    html::push_html(&mut body, out.into_iter());
    body
}

/// The text of the heading that these events begin with.
fn heading(events: &[Event<'_>], level: HeadingLevel) -> String {
    let of_heading = events.iter().take_while(|event| **event != Event::End(TagEnd::Heading(level)));
    let texts = of_heading.filter_map(|event| match event {
        Event::Text(text) | Event::Code(text) => Some(&**text),
        _ => None,
    });
    texts.collect()
}

/// The id that GitHub gives a heading.
fn anchor(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    heading.to_lowercase().chars().filter(kept).map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// None if it leads to a file that is not here.
fn destination<'a>(link: &CowStr<'a>) -> Option<CowStr<'a>> {
    if link.starts_with("https://") || link.starts_with('#') {
        return Some(link.clone());
    }
    let (file, part) = link.split_once('#').unwrap_or((link, ""));
    let name = file.strip_suffix(".md")?;
    PAGES.iter().any(|(known, _)| *known == name).then(|| match part {
        "" => format!("/docs/{name}").into(),
        part => format!("/docs/{name}#{part}").into(),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_page_is_here() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
        let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
        let pages = files.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
        let names: BTreeSet<_> =
            pages.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
        assert_eq!(names, PAGES.iter().map(|(name, _)| (*name).to_owned()).collect());
    }

    /// The links of the pages, and those of the status page.
    #[test]
    fn every_link_within_the_documentation_leads_somewhere() {
        let mut bodies: Vec<_> = PAGES.iter().map(|(name, text)| (*name, body(text))).collect();
        bodies.push(("the status page", include_str!("page.html").to_owned()));
        let mut checked = 0;
        for (from, body) in &bodies {
            for link in body.split("href=\"/docs/").skip(1).filter_map(|rest| rest.split('"').next()) {
                let (name, part) = link.split_once('#').unwrap_or((link, ""));
                let to = page(name).unwrap_or_else(|| panic!("{from}: {link}")).1;
                assert!(part.is_empty() || to.contains(&format!(" id=\"{part}\"")), "{from}: {link}");
                checked += 1;
            }
        }
        assert!(checked > 50, "{checked}");
    }

    #[test]
    fn tables_headings_and_links() {
        let text = "# A `b` of C: d\n\n[x](delivery.md#y) [y](../deploy/z) ![p](a.svg)\n\n<!-- c -->\n\n| a |\n|---|\n| <b> |\n";
        let html = body(text);
        assert!(html.contains("<h1 id=\"a-b-of-c-d\">A <code>b</code> of C: d</h1>"), "{html}");
        assert!(html.contains("<a href=\"/docs/delivery#y\">x</a> y p</p>"), "{html}");
        assert!(html.contains("<div class=\"wide\"><table>") && !html.contains("<!--"), "{html}");
        assert_eq!(page("../Cargo"), None);
    }
}
