//! Pictures put together: scaling, side by side, sheets with captions.

use stainfree_image::Image;

use crate::font::CAPTION;
use crate::palette::Rgb;

/// Pixels between pictures of a sheet.
const GAP: usize = 6;
/// Paper of sheets: a grey on which both dark and bright pictures have an edge.
const PAPER: Rgb = [246, 246, 244];
/// Captions on the paper.
const INK: Rgb = [40, 42, 46];
/// Side of the square of a colour in a legend: as high as capitals.
const SWATCH: usize = 14;
/// Narrowest column of a contact sheet: a field's name in one line.
const NARROWEST: usize = 120;

/// The picture with its longer side at most `side` pixels, by averaging areas; never enlarged.
pub fn scale_down(picture: &Image<[u8; 3]>, side: usize) -> Image<[u8; 3]> {
    let (height, width) = picture.size();
    let longest = height.max(width);
    if longest <= side || longest == 0 {
        return picture.clone();
    }
    let side = side.max(1);
    let scaled = |n: usize| ((n * side + longest / 2) / longest).max(1);
    resize_area(picture, scaled(height), scaled(width))
}

/// Area-weighted average over the source rectangle of every new pixel.
fn resize_area(picture: &Image<[u8; 3]>, height: usize, width: usize) -> Image<[u8; 3]> {
    let columns = spans(picture.width(), width);
    let rows = spans(picture.height(), height);
    // Rows first: one pass over the source, then short sums.
    let mut narrow = vec![[0f32; 3]; picture.height() * width];
    for y in 0..picture.height() {
        let source = picture.row(y);
        for (target, span) in narrow[y * width..(y + 1) * width].iter_mut().zip(&columns) {
            for &(x, weight) in span {
                for c in 0..3 {
                    target[c] += weight * f32::from(source[x][c]);
                }
            }
        }
    }
    Image::from_fn(height, width, |y, x| {
        let mut sum = [0f32; 3];
        for &(row, weight) in &rows[y] {
            for c in 0..3 {
                sum[c] += weight * narrow[row * width + x][c];
            }
        }
        sum.map(|v| v.round() as u8)
    })
}

/// For every new pixel the source pixels it covers and their shares (which add up to 1).
fn spans(source: usize, target: usize) -> Vec<Vec<(usize, f32)>> {
    let step = source as f64 / target as f64;
    let span = |i: usize| {
        let (from, to) = (i as f64 * step, (i + 1) as f64 * step);
        let last = (to.ceil() as usize).min(source);
        (from as usize..last)
            .map(|s| {
                let part = to.min(s as f64 + 1.0) - from.max(s as f64);
                (s, (part / step) as f32)
            })
            .filter(|&(_, share)| share > 0.0)
            .collect()
    };
    (0..target).map(span).collect()
}

/// The picture enlarged by a whole factor, pixel by pixel.
pub fn enlarge(picture: &Image<[u8; 3]>, factor: usize) -> Image<[u8; 3]> {
    let factor = factor.max(1);
    Image::from_fn(
        picture.height() * factor,
        picture.width() * factor,
        |y, x| picture.get(y / factor, x / factor),
    )
}

/// Pictures in a row with their captions above, top edges aligned; below them on the right what the
/// colours of `legend` mean, where there are any.
pub fn side_by_side(
    pictures: &[(&Image<[u8; 3]>, &str)],
    legend: &[(Rgb, &str)],
) -> Image<[u8; 3]> {
    let titles: Vec<&str> = pictures.iter().map(|(_, caption)| *caption).collect();
    let row: Vec<&Image<[u8; 3]>> = pictures.iter().map(|(picture, _)| *picture).collect();
    let page = sheet(&titles, &[("", row)]);
    match legend {
        [] => page,
        legend => with_legend(&page, legend),
    }
}

/// The page with a line more, in which a swatch of every colour stands before its name.
fn with_legend(page: &Image<[u8; 3]>, legend: &[(Rgb, &str)]) -> Image<[u8; 3]> {
    let entry = |(_, name): &(Rgb, &str)| SWATCH + GAP + CAPTION.width(name) + 2 * GAP;
    let line = legend.iter().map(entry).sum::<usize>();
    let width = page.width().max(line + GAP);
    let height = page.height() + CAPTION.height() + GAP;
    let mut out = Image::filled(height, width, PAPER);
    paste(&mut out, page, 0, 0);
    let (y, mut x) = (page.height(), width - line);
    for named in legend {
        let (color, name) = *named;
        let below = (CAPTION.height() - SWATCH) / 2;
        paste(
            &mut out,
            &Image::filled(SWATCH, SWATCH, color),
            y + below,
            x,
        );
        text(&mut out, y, x + SWATCH + GAP, name);
        x += entry(named);
    }
    out
}

/// A sheet of training or validation crops: a row per crop (brightfield, truth, prediction), a
/// title above every column and a caption left of every row.
///
/// Rows may differ in length and pictures in size: every column is as wide as its widest picture.
pub fn sheet(titles: &[&str], rows: &[(&str, Vec<&Image<[u8; 3]>>)]) -> Image<[u8; 3]> {
    let columns = rows
        .iter()
        .map(|(_, row)| row.len())
        .max()
        .unwrap_or(0)
        .max(titles.len());
    let margin = rows
        .iter()
        .map(|(caption, _)| CAPTION.width(caption))
        .max()
        .unwrap_or(0);
    let left = GAP + if margin > 0 { margin + GAP } else { 0 };
    let widths: Vec<usize> = (0..columns)
        .map(|c| {
            let pictures = rows
                .iter()
                .filter_map(|(_, row)| row.get(c))
                .map(|p| p.width());
            let title = titles.get(c).map_or(0, |title| CAPTION.width(title));
            pictures.max().unwrap_or(0).max(title)
        })
        .collect();
    let head = if titles.iter().any(|t| !t.is_empty()) {
        CAPTION.height() + GAP
    } else {
        0
    };
    let heights: Vec<usize> = rows
        .iter()
        .map(|(caption, row)| {
            let text = if caption.is_empty() {
                0
            } else {
                CAPTION.height()
            };
            row.iter().map(|p| p.height()).max().unwrap_or(0).max(text)
        })
        .collect();
    let width = left + widths.iter().map(|w| w + GAP).sum::<usize>();
    let height = GAP + head + heights.iter().map(|h| h + GAP).sum::<usize>();
    let mut page = Image::filled(height, width, PAPER);
    let mut x = left;
    for (title, width) in titles.iter().zip(&widths) {
        text(&mut page, GAP, x, title);
        x += width + GAP;
    }
    let mut y = GAP + head;
    for ((caption, row), height) in rows.iter().zip(&heights) {
        text(&mut page, y, GAP, caption);
        let mut x = left;
        for (picture, width) in row.iter().zip(&widths) {
            paste(&mut page, picture, y, x);
            x += width + GAP;
        }
        y += height + GAP;
    }
    page
}

/// A contact sheet: pictures with captions above them in `columns` columns, as wide as the widest
/// picture; captions that are wider go on in further lines. Below, what the colours of `legend`
/// mean, where there are any.
pub fn contact_sheet(
    pictures: &[(&Image<[u8; 3]>, &str)],
    columns: usize,
    legend: &[(Rgb, &str)],
) -> Image<[u8; 3]> {
    let columns = columns.clamp(1, pictures.len().max(1));
    let widest = pictures.iter().map(|(picture, _)| picture.width()).max();
    let width = widest.map_or(0, |widest| widest.max(NARROWEST));
    let cells: Vec<(&Image<[u8; 3]>, Vec<String>)> = pictures
        .iter()
        .map(|&(picture, caption)| (picture, wrapped(caption, width / CAPTION.advance())))
        .collect();
    // Pictures of a row begin below its longest caption.
    let rows: Vec<(usize, usize)> = cells
        .chunks(columns)
        .map(|row| {
            let lines = row.iter().map(|(_, lines)| lines.len()).max().unwrap_or(0);
            let height = row.iter().map(|(p, _)| p.height()).max().unwrap_or(0);
            (lines * CAPTION.height(), height)
        })
        .collect();
    let heights = rows.iter().map(|(head, height)| head + height + GAP);
    let page_height = GAP + heights.sum::<usize>();
    let mut page = Image::filled(page_height, GAP + columns * (width + GAP), PAPER);
    let mut y = GAP;
    for (row, (head, height)) in cells.chunks(columns).zip(&rows) {
        for (i, (picture, lines)) in row.iter().enumerate() {
            let x = GAP + i * (width + GAP);
            for (number, line) in lines.iter().enumerate() {
                text(&mut page, y + number * CAPTION.height(), x, line);
            }
            paste(&mut page, picture, y + head, x);
        }
        y += head + height + GAP;
    }
    match legend {
        [] => page,
        legend => with_legend(&page, legend),
    }
}

/// The words in lines of at most `most` letters (at least one); longer words are broken.
fn wrapped(words: &str, most: usize) -> Vec<String> {
    let most = most.max(1);
    let mut lines: Vec<String> = Vec::new();
    for word in words.split_whitespace() {
        let room = lines
            .last()
            .map_or(0, |line| most.saturating_sub(line.chars().count() + 1));
        let letters: Vec<char> = word.chars().collect();
        if let (Some(line), true) = (lines.last_mut(), letters.len() <= room) {
            line.push(' ');
            line.push_str(word);
            continue;
        }
        lines.extend(
            letters
                .chunks(most)
                .map(|piece| piece.iter().collect::<String>()),
        );
    }
    lines
}

/// Writes a caption on the paper with its first corner at `(y, x)`.
fn text(page: &mut Image<[u8; 3]>, y: usize, x: usize, words: &str) {
    CAPTION.draw(page, (y as i64, x as i64), words, INK);
}

/// Copies `picture` into `page` with its first corner at `(y, x)`; what leaves the page is cut.
fn paste(page: &mut Image<[u8; 3]>, picture: &Image<[u8; 3]>, y: usize, x: usize) {
    let width = picture.width().min(page.width().saturating_sub(x));
    for row in 0..picture.height().min(page.height().saturating_sub(y)) {
        page.row_mut(y + row)[x..x + width].copy_from_slice(&picture.row(row)[..width]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scaling_down_keeps_shape_and_mean() {
        // Stripes of 0 and 200 average to 100 at half the size, and 3/2 splits pixels by area.
        let stripes = Image::from_fn(4, 8, |_, x| if x % 2 == 0 { [0; 3] } else { [200; 3] });
        let half = scale_down(&stripes, 4);
        assert_eq!(half.size(), (2, 4));
        assert!(half.data().iter().all(|&p| p == [100; 3]));
        let ramp = Image::new(1, 3, vec![[0; 3], [90; 3], [180; 3]]);
        assert_eq!(scale_down(&ramp, 2).data(), &[[30; 3], [150; 3]]);
        assert_eq!(scale_down(&ramp, 3), ramp);
    }

    /// Grey pixels that letters cover by more than half.
    fn inked(page: &Image<[u8; 3]>) -> usize {
        let is_ink = |[r, g, b]: [u8; 3]| {
            (INK[0]..128).contains(&r) && r.abs_diff(g) < 9 && g.abs_diff(b) < 9
        };
        page.data().iter().filter(|&&pixel| is_ink(pixel)).count()
    }

    #[test]
    fn a_sheet_holds_every_picture_at_its_place() {
        let red = Image::filled(10, 30, [255, 0, 0]);
        let blue = Image::filled(8, 30, [0, 0, 255]);
        let page = sheet(&["A", "B"], &[("1", vec![&red, &blue]), ("2", vec![&blue])]);
        let count = |color| page.data().iter().filter(|&&p| p == color).count();
        assert_eq!(count([255, 0, 0]), 300);
        assert_eq!(count([0, 0, 255]), 2 * 240);
        assert!(inked(&page) > 60, "{}", inked(&page));
    }

    #[test]
    fn a_legend_stands_below_the_pictures_with_its_colours() {
        let picture = Image::filled(20, 200, [0; 3]);
        let plain = side_by_side(&[(&picture, "errors")], &[]);
        let colors = [([1, 2, 3], "FOUND"), ([4, 5, 6], "FALSE")];
        let drawn = side_by_side(&[(&picture, "errors")], &colors);
        assert_eq!(drawn.width(), plain.width());
        assert_eq!(drawn.height(), plain.height() + CAPTION.height() + GAP);
        let below = drawn.crop(plain.height(), 0, CAPTION.height(), drawn.width());
        for (color, _) in colors {
            let count = below.data().iter().filter(|&&p| p == color).count();
            assert_eq!(count, SWATCH * SWATCH);
        }
        assert!(inked(&below) > 150, "{}", inked(&below));
        // A page narrower than its legend grows.
        let narrow = side_by_side(&[(&Image::filled(4, 4, [0; 3]), "")], &colors);
        let count = narrow.data().iter().filter(|&&p| p == [4, 5, 6]).count();
        assert_eq!(count, SWATCH * SWATCH);
    }

    #[test]
    fn captions_keep_to_their_column() {
        let lines = |most| wrapped("B02_s1 dim; clumped", most);
        assert_eq!(lines(40), ["B02_s1 dim; clumped"]);
        assert_eq!(lines(11), ["B02_s1 dim;", "clumped"]);
        assert_eq!(lines(4), ["B02_", "s1", "dim;", "clum", "ped"]);
        assert_eq!(wrapped("", 4), [""; 0]);
        // Between two columns, and under the letters of the first line, is paper only.
        let picture = Image::filled(10, 130, [1, 2, 3]);
        let caption = "a_name_of_a_field that is long";
        let page = contact_sheet(&[(&picture, caption), (&picture, caption)], 2, &[]);
        for y in 0..page.height() {
            for x in GAP + 130..GAP + 130 + GAP {
                assert_eq!(page.get(y, x), PAPER, "{y} {x}");
            }
        }
        assert_eq!(page.height(), GAP + 3 * CAPTION.height() + 10 + GAP);
        let colours = [([7, 8, 9], "nucleus")];
        let told = contact_sheet(&[(&picture, "x")], 1, &colours);
        let count = told.data().iter().filter(|&&p| p == [7, 8, 9]).count();
        assert_eq!(count, SWATCH * SWATCH);
    }

    #[test]
    fn sheets_without_pictures_are_only_paper() {
        assert!(sheet(&[], &[]).data().iter().all(|&p| p == PAPER));
        assert!(
            contact_sheet(&[], 3, &[])
                .data()
                .iter()
                .all(|&p| p == PAPER)
        );
        let one = Image::filled(4, 4, [1, 2, 3]);
        assert_eq!(
            contact_sheet(&[(&one, "x")], 9, &[])
                .data()
                .iter()
                .filter(|&&p| p == [1, 2, 3])
                .count(),
            16
        );
    }
}
