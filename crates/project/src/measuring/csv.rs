//! Tables as CSV: a header, commas, empty cells for what is unknown; numbers with all their digits.

use std::fmt::Write as _;
use std::io::BufWriter;

use stainfree_image::write::AtomicFile;

use super::cells::{Cells, ColumnHead, Finish, Rows};

pub(super) struct CsvRows {
    writer: csv::Writer<BufWriter<AtomicFile>>,
}

impl CsvRows {
    pub(super) fn begin(
        file: AtomicFile,
        heads: &[ColumnHead],
        _facts: &[(&str, String)],
    ) -> Result<Box<dyn Rows>, String> {
        let mut writer = csv::Writer::from_writer(BufWriter::new(file));
        let names = heads.iter().map(|head| &head.name);
        writer
            .write_record(names)
            .map_err(|error| error.to_string())?;
        Ok(Box::new(Self { writer }))
    }
}

impl Rows for CsvRows {
    fn append(&mut self, columns: Vec<Cells>) -> Result<(), String> {
        let rows = columns.first().map_or(0, Cells::len);
        let mut text = String::new();
        for i in 0..rows {
            for column in &columns {
                text.clear();
                // Writing to a String cannot fail.
                let _ = match column {
                    Cells::Text(cells) => write!(text, "{}", cells[i].as_deref().unwrap_or("")),
                    Cells::Integer(cells) => cells[i].map_or(Ok(()), |n| write!(text, "{n}")),
                    Cells::Float(cells) if cells[i].is_nan() => Ok(()),
                    Cells::Float(cells) => write!(text, "{}", cells[i]),
                };
                self.writer
                    .write_field(&text)
                    .map_err(|error| error.to_string())?;
            }
            let ended = self.writer.write_record(None::<&[u8]>);
            ended.map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), Finish> {
        let buffered = self.writer.into_inner();
        let buffered = buffered.map_err(|error| Finish::Encode(error.error().to_string()))?;
        let file = buffered.into_inner();
        let file = file.map_err(|error| Finish::Encode(error.error().to_string()))?;
        file.commit().map_err(Finish::Commit)
    }
}
