//! The report page: one HTML file that needs nothing else.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{AutoEscape, Environment, HtmlEscape};
use serde::Serialize;

use crate::ReportError;
use crate::data::{Cell, Fact, FieldCard, Figure, Picture, ReportData, Swatch, Table};
use crate::judgement::{self, JudgementView};
use crate::palette::css;
use crate::png::data_uri;

const PAGE: &str = include_str!("../templates/report.html");
const STYLE: &str = include_str!("../templates/report.css");

/// Puts the report together as one self-contained HTML page.
///
/// Pictures are embedded as PNG; nothing is fetched from anywhere. All texts are escaped by the
/// template engine. Sections without content are left out.
///
/// # Errors
/// [`ReportError::Empty`] and [`ReportError::Png`] for pictures that cannot be encoded,
/// [`ReportError::Template`] if the page cannot be put together.
pub fn render(data: &ReportData) -> Result<String, ReportError> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.add_filter("words", words);
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build()?;
    environment.set_syntax(syntax);
    environment.add_template("report", PAGE)?;
    let page = Page {
        style: STYLE,
        title: &data.title,
        subtitle: &data.subtitle,
        judgement: data.judgement.as_ref().map(judgement::view),
        summary: &data.summary,
        headlines: data
            .headlines
            .iter()
            .map(|h| [&*h.label, &*h.value, &*h.detail, &*h.explanation])
            .collect(),
        trust: &data.trust,
        facts: facts(&data.facts),
        figures: figures(&data.figures)?,
        legend: swatches(&data.legend),
        maps: maps(data)?,
        plates: tables(&data.plates),
        strange: figures(&data.strange)?,
        errors: figures(&data.errors)?,
        errors_legend: swatches(&data.errors_legend),
        charts: data
            .charts
            .iter()
            .map(|c| [&*c.title, c.svg.as_str(), &*c.caption])
            .collect(),
        tables: tables(&data.tables),
        worst: cards(&data.worst)?,
        best: cards(&data.best)?,
        truth_lines: &data.truth.lines,
        truth_tables: tables(&data.truth.tables),
        truth_figures: figures(&data.truth.figures)?,
        config: &data.config,
        provenance: facts(&data.provenance),
        notes: &data.notes,
    };
    Ok(environment.get_template("report")?.render(Serde(page))?)
}

/// A text with what stands between backticks (names, files, commands) as code, everything escaped;
/// a backtick without a second one stays as it is.
fn words(text: String) -> Value {
    let mut html = String::new();
    let mut rest = &*text;
    while let Some((before, after)) = rest.split_once('`') {
        let Some((code, after)) = after.split_once('`') else {
            break;
        };
        let (before, code) = (HtmlEscape(before), HtmlEscape(code));
        html.push_str(&format!("{before}<code>{code}</code>"));
        rest = after;
    }
    html.push_str(&HtmlEscape(rest).to_string());
    Value::from_safe_string(html)
}

/// The report as the template sees it.
#[derive(Serialize)]
struct Page<'a> {
    style: &'a str,
    title: &'a str,
    subtitle: &'a str,
    judgement: Option<JudgementView<'a>>,
    summary: &'a [String],
    /// Label, value, detail, explanation.
    headlines: Vec<[&'a str; 4]>,
    trust: &'a [String],
    facts: Vec<(&'a str, &'a str)>,
    figures: Vec<FigureView<'a>>,
    /// Colour, label.
    legend: Vec<(String, &'a str)>,
    /// Drawings.
    maps: Vec<String>,
    plates: Vec<TableView<'a>>,
    strange: Vec<FigureView<'a>>,
    errors: Vec<FigureView<'a>>,
    errors_legend: Vec<(String, &'a str)>,
    /// Title, drawing, caption.
    charts: Vec<[&'a str; 3]>,
    tables: Vec<TableView<'a>>,
    worst: Vec<CardView<'a>>,
    best: Vec<CardView<'a>>,
    truth_lines: &'a [String],
    truth_tables: Vec<TableView<'a>>,
    truth_figures: Vec<FigureView<'a>>,
    config: &'a str,
    provenance: Vec<(&'a str, &'a str)>,
    notes: &'a [String],
}

#[derive(Serialize)]
struct PictureView<'a> {
    source: String,
    height: usize,
    width: usize,
    caption: &'a str,
}

#[derive(Serialize)]
struct FigureView<'a> {
    title: &'a str,
    caption: &'a str,
    pictures: Vec<PictureView<'a>>,
}

#[derive(Serialize)]
struct CardView<'a> {
    name: &'a str,
    note: &'a str,
    facts: Vec<(&'a str, &'a str)>,
    pictures: Vec<PictureView<'a>>,
}

#[derive(Serialize)]
struct TableView<'a> {
    title: &'a str,
    caption: &'a str,
    folded: bool,
    columns: Vec<(&'a str, &'a str, bool)>,
    rows: Vec<Vec<CellView<'a>>>,
}

#[derive(Serialize)]
struct CellView<'a> {
    text: &'a str,
    note: &'a str,
    numeric: bool,
}

/// Plates as drawings, which only this crate makes.
fn maps(data: &ReportData) -> Result<Vec<String>, ReportError> {
    // Within a page a drawing needs no name of its language.
    let bare = |svg: String| svg.replacen(" xmlns=\"http://www.w3.org/2000/svg\"", "", 1);
    data.maps.iter().map(|map| Ok(bare(map.svg()?))).collect()
}

fn facts(facts: &[Fact]) -> Vec<(&str, &str)> {
    facts.iter().map(|f| (&*f.label, &*f.value)).collect()
}

fn swatches(legend: &[Swatch]) -> Vec<(String, &str)> {
    legend
        .iter()
        .map(|swatch| (css(swatch.color), &*swatch.label))
        .collect()
}

fn pictures(pictures: &[Picture]) -> Result<Vec<PictureView<'_>>, ReportError> {
    pictures.iter().map(picture).collect()
}

fn picture(picture: &Picture) -> Result<PictureView<'_>, ReportError> {
    let (height, width) = picture.image.size();
    Ok(PictureView {
        source: data_uri(&picture.image)?,
        height,
        width,
        caption: &picture.caption,
    })
}

fn figures(figures: &[Figure]) -> Result<Vec<FigureView<'_>>, ReportError> {
    figures.iter().map(figure).collect()
}

fn figure(figure: &Figure) -> Result<FigureView<'_>, ReportError> {
    Ok(FigureView {
        title: &figure.title,
        caption: &figure.caption,
        pictures: pictures(&figure.pictures)?,
    })
}

fn cards(cards: &[FieldCard]) -> Result<Vec<CardView<'_>>, ReportError> {
    cards.iter().map(card).collect()
}

fn card(card: &FieldCard) -> Result<CardView<'_>, ReportError> {
    Ok(CardView {
        name: &card.name,
        note: &card.note,
        facts: facts(&card.facts),
        pictures: pictures(&card.pictures)?,
    })
}

fn tables(tables: &[Table]) -> Vec<TableView<'_>> {
    tables.iter().map(table).collect()
}

fn table(table: &Table) -> TableView<'_> {
    TableView {
        title: &table.title,
        caption: &table.caption,
        folded: table.folded,
        columns: table
            .columns
            .iter()
            .map(|c| (&*c.name, &*c.explanation, c.numeric))
            .collect(),
        rows: table.rows.iter().map(|row| cells(row, table)).collect(),
    }
}

fn cells<'a>(row: &'a [Cell], table: &Table) -> Vec<CellView<'a>> {
    let numeric = |i: usize| table.columns.get(i).is_some_and(|column| column.numeric);
    row.iter()
        .enumerate()
        .map(|(i, cell)| CellView {
            text: &cell.text,
            note: &cell.note,
            numeric: numeric(i),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Chart, Column, Headline, TruthQuality};
    use crate::{Judgement, LineChart, NextStep, PlateMap, Series};
    use stainfree_image::Image;
    use stainfree_scores::verdict::{Evidence, Verdict};

    const EVIL: &str = "<script>alert(\"x\")</script>'&";
    const CODE: &str = "`<script>alert(\"x\")</script>`";

    /// A report in which every text is hostile.
    fn hostile() -> ReportData {
        let text = || EVIL.to_owned();
        let shown = || Picture::new(Image::filled(2, 3, [9, 9, 9]), EVIL);
        let figure = || Figure {
            title: text(),
            caption: text(),
            pictures: vec![shown()],
        };
        let fact = || Fact::new(EVIL, EVIL);
        let card = || FieldCard {
            name: text(),
            facts: vec![fact()],
            pictures: vec![shown()],
            note: text(),
        };
        let table = |folded| Table {
            title: text(),
            caption: text(),
            columns: vec![Column::number(EVIL, EVIL)],
            rows: vec![vec![Cell {
                text: text(),
                note: text(),
            }]],
            folded,
        };
        let plot = LineChart {
            x_label: text(),
            y_label: text(),
            series: vec![Series {
                name: text(),
                points: vec![(0.0, 1.0), (1.0, 2.0)],
                dashed: true,
            }],
            marks: vec![(0.5, text())],
            ..Default::default()
        };
        let mut verdict = Verdict::of(&Evidence::default());
        verdict.findings[0].says = text();
        ReportData {
            title: text(),
            subtitle: text(),
            judgement: Some(Judgement {
                about: text(),
                verdict,
                next: vec![NextStep {
                    words: text(),
                    command: text(),
                }],
            }),
            maps: vec![PlateMap {
                title: text(),
                note: text(),
                wells: vec![("A01".into(), 1.0)],
                from_zero: false,
            }],
            plates: vec![table(false)],
            strange: vec![figure()],
            summary: vec![text()],
            headlines: vec![Headline {
                label: text(),
                value: text(),
                detail: text(),
                explanation: text(),
            }],
            trust: vec![text()],
            facts: vec![fact()],
            figures: vec![figure()],
            legend: vec![Swatch {
                color: [1, 2, 3],
                label: text(),
            }],
            errors: vec![figure()],
            errors_legend: vec![Swatch {
                color: [1, 2, 3],
                label: text(),
            }],
            charts: vec![Chart {
                title: text(),
                caption: text(),
                svg: plot.svg(),
            }],
            tables: vec![table(true), table(false)],
            worst: vec![card()],
            best: vec![card()],
            truth: TruthQuality {
                lines: vec![text()],
                tables: vec![table(false)],
                figures: vec![figure()],
            },
            config: text(),
            provenance: vec![fact()],
            notes: vec![text()],
        }
    }

    #[test]
    fn no_text_can_become_markup() {
        let page = render(&hostile()).unwrap();
        assert!(!page.contains("<script"), "a text got through unescaped");
        // Quotes end attributes: none of the alerts may keep its own.
        assert!(!page.contains("alert(\"x"));
        // Every text of the report appears, not only the safe ones.
        assert!(page.matches("&lt;script&gt;").count() >= 56);
    }

    #[test]
    fn what_stands_in_backticks_is_code() {
        let html = |text: &str| words(text.to_owned()).to_string();
        assert_eq!(
            html("field `a<b` of `plate 2`: 3 & more"),
            "field <code>a&lt;b</code> of <code>plate 2</code>: 3 &amp; more"
        );
        assert_eq!(html("it`s `one`"), "it<code>s </code>one`");
        assert_eq!(html("a ` alone"), "a ` alone");
        assert_eq!(html(""), "");
        assert!(html(CODE).starts_with("<code>&lt;script&gt;"));
        // Wherever a reader meets a sentence of the report.
        let text = || "see `stainfree.toml`".to_owned();
        let mut data = hostile();
        data.title = text();
        data.tables[0].rows[0][0].text = text();
        data.summary = vec![text()];
        data.trust = vec![text()];
        data.notes = vec![text()];
        data.truth.lines = vec![text()];
        data.tables[0].caption = text();
        data.figures[0].caption = text();
        data.provenance[0].value = text();
        let judgement = data.judgement.as_mut().unwrap();
        judgement.about = text();
        judgement.next[0].words = text();
        judgement.verdict.findings[0].says = text();
        let page = render(&data).unwrap();
        let see = "see <code>stainfree.toml</code>";
        assert_eq!(page.matches(see).count(), 11);
        assert!(page.contains("<title>see stainfree.toml</title>"));
        assert!(page.matches("ee <code>stainfree.toml</code>").count() >= 11);
        assert!(!page.contains("`stainfree.toml`"));
    }

    #[test]
    fn the_page_loads_nothing_from_elsewhere() {
        let page = render(&hostile()).unwrap();
        for address in ["http://", "https://", "url(", "@import", "<link", "src=\"/"] {
            assert!(!page.contains(address), "{address}");
        }
        assert_eq!(page.matches("src=\"data:image/png;base64,").count(), 6);
    }

    #[test]
    fn sections_without_content_are_left_out() {
        let page = render(&ReportData {
            title: "Empty".into(),
            ..Default::default()
        })
        .unwrap();
        assert!(page.contains("<title>Empty</title>"));
        for id in [
            "use", "result", "pictures", "plates", "strange", "scores", "errors", "fields",
            "training", "truth", "made",
        ] {
            assert!(
                !page.contains(&format!("id=\"{id}\"")) && !page.contains(&format!("#{id}\"")),
                "{id}"
            );
        }
    }

    #[test]
    fn every_light_has_a_shape_and_a_word_and_every_rule_its_limits_and_source() {
        let page = render(&hostile()).unwrap();
        let (_, section) = page.split_once("id=\"use\"").unwrap();
        let (section, _) = section.split_once("</section>").unwrap();
        for words in [
            "Can I use these numbers?",
            "No, not as they are",
            "aria-label=\"red\"",
            "red where there is no",
            "Kapoor",
        ] {
            assert!(section.contains(words), "{words}: {section}");
        }
    }

    #[test]
    fn every_place_to_enlarge_has_its_own_name() {
        let page = render(&hostile()).unwrap();
        let mut ids: Vec<&str> = page
            .split("type=\"checkbox\" id=\"")
            .skip(1)
            .filter_map(|s| s.split('"').next())
            .collect();
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!((ids.len(), count), (6, 6));
    }
}
