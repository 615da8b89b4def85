//! Tables as Parquet: typed columns, zstd, what is unknown is null; read by pandas, polars, R and
//! DuckDB.

use std::io::BufWriter;
use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, Type as PhysicalType, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::Type;
use stainfree_image::write::AtomicFile;

use super::cells::{Cells, ColumnHead, ColumnType, Finish, Rows};

/// Cells that are gathered before they are written as a row group: large enough to compress well,
/// small beside the images (at most 8 bytes a cell).
const GROUP_CELLS: usize = 4 << 20;

pub(super) struct ParquetRows {
    writer: SerializedFileWriter<BufWriter<AtomicFile>>,
    heads: Vec<ColumnHead>,
    waiting: Vec<Cells>,
}

impl ParquetRows {
    pub(super) fn begin(
        file: AtomicFile,
        heads: &[ColumnHead],
        facts: &[(&str, String)],
    ) -> Result<Box<dyn Rows>, String> {
        let schema = schema(heads).map_err(|error| error.to_string())?;
        let facts = facts
            .iter()
            .map(|(key, value)| KeyValue::new((*key).to_owned(), value.clone()));
        let properties = WriterProperties::builder()
            .set_created_by(format!("stainfree {}", env!("CARGO_PKG_VERSION")))
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_key_value_metadata(Some(facts.collect()))
            .build();
        let file = BufWriter::new(file);
        let writer = SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties));
        Ok(Box::new(Self {
            writer: writer.map_err(|error| error.to_string())?,
            heads: heads.to_vec(),
            waiting: empty(heads),
        }))
    }

    fn write_group(&mut self) -> parquet::errors::Result<()> {
        let waiting = std::mem::replace(&mut self.waiting, empty(&self.heads));
        if waiting.first().is_none_or(|column| column.len() == 0) {
            return Ok(());
        }
        let mut group = self.writer.next_row_group()?;
        for column in &waiting {
            write_column(&mut group, column)?;
        }
        group.close().map(drop)
    }
}

impl Rows for ParquetRows {
    fn append(&mut self, columns: Vec<Cells>) -> Result<(), String> {
        for (waiting, more) in self.waiting.iter_mut().zip(columns) {
            append(waiting, more)?;
        }
        let rows = self.waiting.first().map_or(0, Cells::len);
        if rows * self.waiting.len() < GROUP_CELLS {
            return Ok(());
        }
        self.write_group().map_err(|error| error.to_string())
    }

    fn finish(mut self: Box<Self>) -> Result<(), Finish> {
        let encode = |error: parquet::errors::ParquetError| Finish::Encode(error.to_string());
        self.write_group().map_err(encode)?;
        let buffered = self.writer.into_inner().map_err(encode)?;
        let file = buffered.into_inner();
        let file = file.map_err(|error| Finish::Encode(error.error().to_string()))?;
        file.commit().map_err(Finish::Commit)
    }
}

fn empty(heads: &[ColumnHead]) -> Vec<Cells> {
    let column = |head: &ColumnHead| match head.kind {
        ColumnType::Text => Cells::Text(Vec::new()),
        ColumnType::Integer => Cells::Integer(Vec::new()),
        ColumnType::Float => Cells::Float(Vec::new()),
    };
    heads.iter().map(column).collect()
}

/// Moves the cells of `more` to the end of a column of the same type.
fn append(column: &mut Cells, more: Cells) -> Result<(), String> {
    match (column, more) {
        (Cells::Text(cells), Cells::Text(mut more)) => cells.append(&mut more),
        (Cells::Integer(cells), Cells::Integer(mut more)) => cells.append(&mut more),
        (Cells::Float(cells), Cells::Float(mut more)) => cells.append(&mut more),
        _ => return Err("a column has changed its type".to_owned()),
    }
    Ok(())
}

fn schema(heads: &[ColumnHead]) -> parquet::errors::Result<Type> {
    let column = |head: &ColumnHead| {
        let (kind, meaning) = match head.kind {
            ColumnType::Text => (PhysicalType::BYTE_ARRAY, Some(LogicalType::String)),
            ColumnType::Integer => (PhysicalType::INT64, None),
            ColumnType::Float => (PhysicalType::DOUBLE, None),
        };
        let built = Type::primitive_type_builder(&head.name, kind)
            .with_repetition(Repetition::OPTIONAL)
            .with_logical_type(meaning)
            .build();
        built.map(Arc::new)
    };
    let columns: parquet::errors::Result<Vec<_>> = heads.iter().map(column).collect();
    Type::group_type_builder("stainfree")
        .with_fields(columns?)
        .build()
}

/// Writes the next column: the known values, and for each row whether it is known.
fn write_column(
    group: &mut SerializedRowGroupWriter<'_, BufWriter<AtomicFile>>,
    cells: &Cells,
) -> parquet::errors::Result<()> {
    let missing = || parquet::errors::ParquetError::General("more columns than heads".to_owned());
    let mut column = group.next_column()?.ok_or_else(missing)?;
    match cells {
        Cells::Text(cells) => {
            let known = |cell: &Option<Arc<str>>| cell.as_deref().map(ByteArray::from);
            let values: Vec<ByteArray> = cells.iter().filter_map(known).collect();
            let levels: Vec<i16> = cells.iter().map(|cell| i16::from(cell.is_some())).collect();
            column
                .typed::<ByteArrayType>()
                .write_batch(&values, Some(&levels), None)?;
        }
        Cells::Integer(cells) => {
            let values: Vec<i64> = cells.iter().copied().flatten().collect();
            let levels: Vec<i16> = cells.iter().map(|cell| i16::from(cell.is_some())).collect();
            column
                .typed::<Int64Type>()
                .write_batch(&values, Some(&levels), None)?;
        }
        Cells::Float(cells) => {
            let values: Vec<f64> = cells
                .iter()
                .copied()
                .filter(|cell| !cell.is_nan())
                .collect();
            let levels: Vec<i16> = cells.iter().map(|cell| i16::from(!cell.is_nan())).collect();
            column
                .typed::<DoubleType>()
                .write_batch(&values, Some(&levels), None)?;
        }
    }
    column.close()
}
