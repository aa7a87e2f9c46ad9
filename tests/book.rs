//! The documents as one book: every page is in the table of contents, and every link between them leads somewhere, to
//! the heading it names. Links to other people's sites are not followed: tests stay on this machine.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// A page's headings, as the anchors that browsers jump to, and where its links lead.
struct Page {
    anchors: BTreeSet<String>,
    links: Vec<String>,
}

fn read(file: &Path) -> Page {
    let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let mut page = Page { anchors: BTreeSet::new(), links: Vec::new() };
    let mut heading = None;
    for event in Parser::new_ext(&text, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::End(TagEnd::Heading(_)) => {
                page.anchors.extend(heading.take().map(|title| anchor(&title)));
            }
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                page.links.push(dest_url.to_string());
            }
            Event::Text(text) | Event::Code(text) => {
                if let Some(title) = &mut heading {
                    title.push_str(&text);
                }
            }
            _ => {}
        }
    }
    page
}

/// As mdBook and code hosts make it of a heading.
fn anchor(title: &str) -> String {
    let kept = title.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

fn pages() -> HashMap<PathBuf, Page> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let in_docs = std::fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let beside = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"].map(|name| root.join(name));
    let files = in_docs.chain(beside).filter(|file| file.extension().is_some_and(|ending| ending == "md"));
    files.map(|file| (file.clone(), read(&file))).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let pages = pages();
    let mut broken = Vec::new();
    let mut followed = 0;
    for (file, page) in &pages {
        for link in page.links.iter().filter(|link| !link.contains("://") && !link.starts_with("mailto:")) {
            followed += 1;
            let (path, fragment) = link.split_once('#').map_or((link.as_str(), None), |(path, id)| (path, Some(id)));
            let target = match path {
                "" => file.clone(),
                path => file.parent().unwrap().join(path),
            };
            let found = match (target.canonicalize(), fragment) {
                (Err(_), _) => false,
                (Ok(_), None) => true,
                (Ok(target), Some(id)) => pages.get(&target).is_some_and(|page| page.anchors.contains(id)),
            };
            if !found {
                broken.push(format!("{}: {link}", file.display()));
            }
        }
    }
    assert!(followed > 10, "only {followed} links found");
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// The book holds docs/ only, so a link out of it works in the source tree and breaks in the book.
#[test]
fn the_book_has_every_page_and_no_link_leaves_it() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let contents: BTreeSet<String> = read(&docs.join("SUMMARY.md")).links.into_iter().collect();
    let pages = pages();
    let in_docs = pages.iter().filter(|(file, _)| file.starts_with(&docs));
    let mut there = BTreeSet::new();
    for (file, page) in in_docs {
        let name = file.file_name().unwrap().to_str().unwrap();
        if name != "SUMMARY.md" {
            there.insert(name.to_owned());
        }
        assert!(page.links.iter().all(|link| !link.starts_with("..")), "{name}: {:?}", page.links);
    }
    assert_eq!(contents, there);
}
