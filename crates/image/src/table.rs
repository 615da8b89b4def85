//! Tables that people edit: CSV as Excel, LibreOffice, R and text editors save it.
//!
//! Here: the encoding, what separates the cells, line numbers, numbers and words as people type
//! them. Not here: which columns a table has to have, or what they mean.
//!
//! Read are UTF-8 with and without a byte-order mark, UTF-16 ("Unicode text"), and Windows-1252;
//! lines that end in LF, CRLF or CR; commas, semicolons and tabs; a first line `sep=;`; quoted
//! cells. Titles are found whatever their case and order; rows without any content are no rows.

use std::path::Path;

use crate::ImageError;

/// What may separate cells.
const SEPARATORS: [char; 3] = [',', ';', '\t'];

/// A table with titles and rows, all cells without the blanks around them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// The titles, as written.
    pub columns: Vec<String>,
    /// The rows that hold anything.
    pub rows: Vec<Row>,
}

/// A row of a [`Table`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The line of the file it starts on, from 1.
    pub line: usize,
    /// Its cells; may be fewer than there are titles.
    pub cells: Vec<String>,
}

impl Row {
    /// The cell of a column, empty where the row ends before it.
    pub fn cell(&self, column: usize) -> &str {
        self.cells.get(column).map_or("", String::as_str)
    }
}

impl Table {
    /// Reads the table at `path`.
    ///
    /// # Errors
    /// The file cannot be read, is no table, or a row has more cells than there are titles: then
    /// it is unknown which cell belongs to which column.
    pub fn read(path: &Path) -> Result<Self, ImageError> {
        let bytes = std::fs::read(path).map_err(|error| ImageError::read(path, error))?;
        let table = Self::parse(path, &bytes)?;
        match table.rows.iter().find_map(|row| table.surplus(row)) {
            None => Ok(table),
            Some(what) => Err(ImageError::Broken {
                path: path.to_path_buf(),
                what,
                way_out: "correct that line".to_owned(),
            }),
        }
    }

    /// Takes the content of a file apart; `path` is named in errors.
    ///
    /// # Errors
    /// It is no table: an Excel workbook, a quote that does not end.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, ImageError> {
        if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"\xD0\xCF\x11\xE0") {
            return Err(ImageError::not_supported(
                path,
                "it is a workbook, not a table of text",
                "save it from Excel or LibreOffice as CSV",
            ));
        }
        let text = text_of(bytes);
        let (separator, body, first_line) = separator_of(&text);
        let mut rows = rows_of(body, separator, first_line).map_err(|line| ImageError::Broken {
            path: path.to_path_buf(),
            what: format!("the quote that begins in line {line} does not end"),
            way_out: "close it, or take it away".to_owned(),
        })?;
        rows.retain(|row| row.cells.iter().any(|cell| !cell.is_empty()));
        let columns = match rows.is_empty() {
            true => Vec::new(),
            false => rows.remove(0).cells,
        };
        Ok(Self { columns, rows })
    }

    /// The column of that title; case does not matter.
    pub fn column(&self, title: &str) -> Option<usize> {
        let wanted = title.to_lowercase();
        self.columns
            .iter()
            .position(|column| column.to_lowercase() == wanted)
    }

    /// What is wrong with a row that has more cells than there are titles.
    pub fn surplus(&self, row: &Row) -> Option<String> {
        let filled = row.cells.iter().rposition(|cell| !cell.is_empty())? + 1;
        (filled > self.columns.len()).then(|| {
            format!(
                "line {} has {filled} cells under {} titles (a number with a decimal comma needs \
                 quotes around it where commas separate the cells)",
                row.line,
                self.columns.len()
            )
        })
    }
}

/// The text of a file that a person saved: UTF-8 or UTF-16, with or without a byte-order mark,
/// else Windows-1252.
///
/// ```
/// use stainfree_image::table::text_of;
/// assert_eq!(text_of(b"\xEF\xBB\xBFa"), "a");
/// assert_eq!(text_of(b"\xFF\xFEa\0\xFC\0"), "aü");
/// assert_eq!(text_of(b"\xFC"), "ü");
/// ```
pub fn text_of(bytes: &[u8]) -> String {
    let wide = |bytes: &[u8], of: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes.chunks_exact(2).map(|p| of([p[0], p[1]])).collect();
        String::from_utf16_lossy(&units)
    };
    match bytes {
        [0xEF, 0xBB, 0xBF, rest @ ..] => text_of(rest),
        [0xFF, 0xFE, rest @ ..] => wide(rest, u16::from_le_bytes),
        [0xFE, 0xFF, rest @ ..] => wide(rest, u16::from_be_bytes),
        // Without a mark: the zero half of a first letter that is in every alphabet's ASCII part.
        [1..=255, 0, ..] => wide(bytes, u16::from_le_bytes),
        [0, 1..=255, ..] => wide(bytes, u16::from_be_bytes),
        _ => match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => bytes.iter().map(|&byte| windows_1252(byte)).collect(),
        },
    }
}

/// A letter of Windows' encoding of western languages; Latin-1 but for 0x80 to 0x9F.
fn windows_1252(byte: u8) -> char {
    const HIGH: [char; 32] = [
        '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8D}', 'Ž',
        '\u{8F}', '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9D}',
        'ž', 'Ÿ',
    ];
    match byte {
        0x80..=0x9F => HIGH[usize::from(byte - 0x80)],
        _ => char::from(byte),
    }
}

/// What separates the cells, the text after a line that says so, and that text's first line.
fn separator_of(text: &str) -> (char, &str, usize) {
    let (first, rest) = match text.find(['\n', '\r']) {
        Some(end) => (&text[..end], &text[end..]),
        None => (text, ""),
    };
    // Excel's own way to say it.
    let said = first.trim().to_lowercase();
    if let Some(separator) = said.strip_prefix("sep=").and_then(|s| s.chars().next()) {
        let rest = rest.strip_prefix("\r\n").unwrap_or_else(|| {
            let mut letters = rest.chars();
            letters.next();
            letters.as_str()
        });
        return (separator, rest, 2);
    }
    if said == "sep=" {
        return ('\t', rest.trim_start_matches(['\r', '\n']), 2);
    }
    // The first line that holds anything has the titles: the separator makes most cells of it.
    let titles = text.trim_start();
    let cells = |separator: char| {
        let mut quoted = false;
        let mut count = 0;
        for letter in titles.chars() {
            match letter {
                '"' => quoted = !quoted,
                '\n' | '\r' if !quoted => break,
                letter => count += usize::from(letter == separator && !quoted),
            }
        }
        count
    };
    let most = SEPARATORS.into_iter().rev().max_by_key(|&s| cells(s));
    (most.unwrap_or(','), text, 1)
}

/// All rows, empty ones too; `Err` with the line where a quote begins that does not end.
fn rows_of(text: &str, separator: char, first_line: usize) -> Result<Vec<Row>, usize> {
    let mut rows = Vec::new();
    let mut line = first_line;
    let mut row = Row {
        line,
        cells: Vec::new(),
    };
    let mut cell = String::new();
    // A cell is quoted if a quote is its first letter; `Some` holds the line where it began.
    let mut quoted: Option<usize> = None;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let ends_line = letter == '\n' || letter == '\r';
        if letter == '\r' && letters.peek() == Some(&'\n') {
            letters.next();
        }
        line += usize::from(ends_line);
        if quoted.is_some() {
            match letter {
                '"' if letters.peek() == Some(&'"') => {
                    letters.next();
                    cell.push('"');
                }
                '"' => quoted = None,
                _ if ends_line => cell.push('\n'),
                _ => cell.push(letter),
            }
        } else if ends_line {
            row.cells.push(cell.trim().to_owned());
            cell.clear();
            rows.push(row);
            row = Row {
                line,
                cells: Vec::new(),
            };
        } else if letter == separator {
            row.cells.push(cell.trim().to_owned());
            cell.clear();
        } else if letter == '"' && cell.trim().is_empty() {
            quoted = Some(line);
        } else {
            cell.push(letter);
        }
    }
    if let Some(line) = quoted {
        return Err(line);
    }
    row.cells.push(cell.trim().to_owned());
    rows.push(row);
    Ok(rows)
}

/// A number as people type it: with a point or a decimal comma. `None` for anything else, also for
/// one that has both (`1.234,5`), since it is unknown which of them groups digits.
///
/// ```
/// use stainfree_image::table::number;
/// assert_eq!(number(" 0,65 "), Some(0.65));
/// assert_eq!(number("1,2E+03"), Some(1200.0));
/// assert_eq!(number("1.234,5"), None);
/// assert_eq!(number("nan"), None);
/// ```
pub fn number(text: &str) -> Option<f64> {
    let text = text.trim();
    let value: f64 = match text.contains(',') {
        true if text.contains('.') => return None,
        true => text.replacen(',', ".", 1).parse().ok()?,
        false => text.parse().ok()?,
    };
    value.is_finite().then_some(value)
}

/// Yes or no as people type it, whatever the case: `yes`, `y`, `true`, `1`, `x`, and what Excel
/// makes of `true` in German, French and Spanish; the same of no. `None` for anything else.
///
/// ```
/// use stainfree_image::table::yes_or_no;
/// assert_eq!(yes_or_no(" Yes"), Some(true));
/// assert_eq!(yes_or_no("FALSE"), Some(false));
/// assert_eq!(yes_or_no("perhaps"), None);
/// ```
pub fn yes_or_no(text: &str) -> Option<bool> {
    match text.trim().to_lowercase().as_str() {
        "yes" | "y" | "true" | "1" | "x" | "ja" | "j" | "oui" | "wahr" | "vrai" | "verdadero" => {
            Some(true)
        }
        "no" | "n" | "false" | "0" | "nein" | "non" | "falsch" | "faux" | "falso" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(bytes: &[u8]) -> Table {
        Table::parse(Path::new("t.csv"), bytes).unwrap()
    }

    fn utf16(text: &str, mark: &[u8], bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        let units = text.encode_utf16().flat_map(bytes);
        mark.iter().copied().chain(units).collect()
    }

    #[test]
    fn the_same_table_is_read_however_it_was_saved() {
        let plain = "field,Y_px,note\nÄ1,\"0,5\",\"a \"\"b\"\"\"\nc,2,\n";
        let expected = table(plain.as_bytes());
        assert_eq!(expected.columns, ["field", "Y_px", "note"]);
        assert_eq!(expected.rows[0].cells, ["Ä1", "0,5", "a \"b\""]);
        assert_eq!(expected.rows[1].line, 3);
        let semicolons = "field;Y_px;note\nÄ1;0,5;\"a \"\"b\"\"\"\nc;2;\n";
        let tabs = semicolons.replace(';', "\t");
        for text in [plain, semicolons, &tabs] {
            for end in ["\n", "\r\n", "\r"] {
                let text = text.replace('\n', end);
                let marked = [b"\xEF\xBB\xBF", text.as_bytes()].concat();
                let latin: Vec<u8> = text.chars().map(|letter| letter as u8).collect();
                let wide = [
                    utf16(&text, b"\xFF\xFE", u16::to_le_bytes),
                    utf16(&text, b"\xFE\xFF", u16::to_be_bytes),
                    utf16(&text, b"", u16::to_le_bytes),
                ];
                for bytes in [text.as_bytes(), &marked, &latin]
                    .into_iter()
                    .chain(wide.iter().map(|w| w.as_slice()))
                {
                    assert_eq!(table(bytes), expected, "{text:?} {:?}", &bytes[..4]);
                }
            }
        }
    }

    #[test]
    fn empty_rows_are_none_and_lines_are_counted_as_an_editor_counts_them() {
        let read = table(b"sep=;\r\n\r\na;b\r\n;;\r\n\"1\r\n2\";x\r\n\r\n3;y\r\n;\r\n\r\n");
        assert_eq!(read.columns, ["a", "b"]);
        let lines: Vec<usize> = read.rows.iter().map(|row| row.line).collect();
        assert_eq!(lines, [5, 8]);
        assert_eq!(read.rows[0].cells, ["1\n2", "x"]);
        assert_eq!(read.rows[1].cell(7), "");
        assert_eq!(table(b""), Table::default());
    }

    #[test]
    fn a_row_with_more_cells_than_titles_and_an_open_quote_are_told() {
        let read = table(b"file,um,note\na,0,65,\nb,1,x,y\n");
        assert_eq!(read.surplus(&read.rows[0]), None);
        let told = read.surplus(&read.rows[1]).unwrap();
        assert!(
            told.starts_with("line 3 has 4 cells under 3 titles"),
            "{told}"
        );
        let open = Table::parse(Path::new("t.csv"), b"a,b\n1,\"2\n3,4\n").unwrap_err();
        assert_eq!(
            open.to_string(),
            "`t.csv` is broken: the quote that begins in line 2 does not end; close it, or take it \
             away"
        );
        let workbook = Table::parse(Path::new("t.csv"), b"PK\x03\x04...").unwrap_err();
        assert!(workbook.to_string().ends_with("as CSV"), "{workbook}");
    }
}
