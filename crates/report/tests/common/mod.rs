//! Reading plots back: the elements of an SVG, and where values lie by the numbers of its axes.

#![allow(dead_code, unreachable_pub)] // each test file is a program of its own, and uses its part

use stainfree_report::Scale;

/// An element of an SVG: its name, its attributes, and the text in it.
pub struct Element {
    source: String,
    pub text: String,
}

impl Element {
    pub fn get(&self, attribute: &str) -> Option<&str> {
        let start = self.source.find(&format!(" {attribute}=\""))? + attribute.len() + 3;
        let rest = &self.source[start..];
        Some(&rest[..rest.find('"')?])
    }

    pub fn number(&self, attribute: &str) -> f64 {
        self.get(attribute).unwrap().parse().unwrap()
    }

    /// The corners of a path.
    pub fn points(&self) -> Vec<(f64, f64)> {
        let d = self.get("d").unwrap().trim_end_matches('Z');
        d.split(['M', 'L'])
            .filter(|part| !part.is_empty())
            .map(|part| {
                let (x, y) = part.split_once(' ').unwrap();
                (x.parse().unwrap(), y.parse().unwrap())
            })
            .collect()
    }
}

pub fn elements(svg: &str, name: &str) -> Vec<Element> {
    svg.split(&format!("<{name} "))
        .skip(1)
        .map(|rest| {
            let end = rest.find('>').unwrap();
            let text = rest[end + 1..].split('<').next().unwrap();
            Element {
                source: format!(" {}", &rest[..end]),
                text: text.to_owned(),
            }
        })
        .collect()
}

pub fn value(label: &str) -> f64 {
    match label.strip_suffix('k') {
        Some(thousands) => thousands.parse::<f64>().unwrap() * 1000.0,
        None => label.parse().unwrap(),
    }
}

/// Labels of an axis and where they stand, sorted by value.
pub fn ticks(svg: &str, upright: bool) -> Vec<(f64, f64)> {
    let is_tick = |e: &Element| match upright {
        true => e.get("text-anchor") == Some("end") && e.number("x") == 48.0,
        false => e.get("text-anchor") == Some("middle") && e.number("y") == 273.0,
    };
    let place = |e: &Element| {
        if upright {
            e.number("y") - 4.0
        } else {
            e.number("x")
        }
    };
    let texts = elements(svg, "text");
    let found = texts.iter().filter(|e| is_tick(e));
    let mut found: Vec<(f64, f64)> = found.map(|e| (value(&e.text), place(e))).collect();
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    assert!(found.len() >= 2, "{svg}");
    found
}

/// Where a value must lie by the first and the last number of an axis.
pub fn by_ticks(ticks: &[(f64, f64)], scale: Scale, value: f64) -> f64 {
    let of = |v: f64| if scale == Scale::Log { v.ln() } else { v };
    let ((a, from), (b, to)) = (ticks[0], ticks[ticks.len() - 1]);
    from + (of(value) - of(a)) / (of(b) - of(a)) * (to - from)
}

pub fn dots(svg: &str) -> Vec<(f64, f64)> {
    let circles = elements(svg, "circle");
    circles
        .iter()
        .map(|c| (c.number("cx"), c.number("cy")))
        .collect()
}

/// Places are written with one decimal, ticks too: their scale is known to that.
pub const ROUNDING: f64 = 0.3;
