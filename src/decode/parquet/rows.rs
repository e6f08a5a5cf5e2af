//! Row groups -> rows, a batch at a time.

use std::sync::Arc;

use bytes::Bytes;
use parquet::file::metadata::{ParquetMetaDataReader, RowGroupMetaData};

use super::column::Column;
use super::pages::{Pages, Room};
use super::tree::Tree;
use super::{bad, footer};
use crate::base::limits::{
    PARQUET_BATCH_BYTES, PARQUET_BATCH_ROWS, PARQUET_COLUMN_BYTES, PARQUET_ROW_VALUES_MAX,
};
use crate::decode::memory::Charge;
use crate::decode::{Account, Bounds, Error};

/// Receives the JSON text of one row.
pub(super) type Rows<'a> = dyn FnMut(&[u8]) -> Result<(), Error> + 'a;

/// Reads the whole object.
pub(super) fn read(
    object: Bytes,
    bounds: &Bounds,
    account: &Account,
    rows: &mut Rows<'_>,
) -> Result<(), Error> {
    let footer = footer::check(&object, bounds.held_bytes_max.saturating_sub(object.len()))?;
    let mut charge = account.charge();
    charge.set(footer)?;
    let held = object.len() + footer;
    let metadata = ParquetMetaDataReader::new().parse_and_finish(&object)?;
    let rows_of_groups: i64 =
        metadata.row_groups().iter().map(RowGroupMetaData::num_rows).fold(0, i64::saturating_add);
    if metadata.file_metadata().num_rows() > rows_of_groups {
        return Err(bad("its footer counts more rows than its row groups have"));
    }
    let schema = metadata.file_metadata().schema_descr();
    let tree = Tree::new(schema, bounds.record_bytes_max)?;
    let object = Arc::new(object);
    for group in metadata.row_groups() {
        Group::open(&object, group, held, bounds, account)?.read(&tree, rows)?;
    }
    Ok(())
}

/// The current row group.
struct Group {
    columns: Vec<Column>,
    room: Arc<Room>,
    rows_left: usize,
    batch_rows: usize,
    /// Size from which a row counts as large.
    row: Charge,
}

impl Group {
    fn open(
        object: &Arc<Bytes>,
        group: &RowGroupMetaData,
        held: usize,
        bounds: &Bounds,
        account: &Account,
    ) -> Result<Self, Error> {
        let room = Arc::new(Room::new(object.len() as u64, held, bounds, account));
        room.take(group.columns().len().saturating_mul(PARQUET_COLUMN_BYTES))?;
        let column = |chunk| {
            let pages = Pages::new(Arc::clone(object), chunk, Arc::clone(&room))?;
            Ok(Column::new(chunk.column_descr_ptr(), pages))
        };
        let columns = group.columns().iter().map(column).collect::<Result<_, Error>>()?;
        let rows_left = usize::try_from(group.num_rows()).map_err(|_| bad("a negative number of rows"))?;
        Ok(Group {
            columns,
            room,
            rows_left,
            batch_rows: batch_rows(group, rows_left),
            row: account.charge(),
        })
    }

    fn read(&mut self, tree: &Tree, rows: &mut Rows<'_>) -> Result<(), Error> {
        let mut row = Vec::new();
        while self.rows_left > 0 {
            let count = self.batch_rows.min(self.rows_left);
            self.fill(count)?;
            for _ in 0..count {
                row.clear();
                tree.row(&mut self.columns, &mut row)?;
                if row.len() > PARQUET_BATCH_BYTES {
                    self.row.set(row.len())?;
                }
                rows(&row)?;
                if row.capacity() > PARQUET_BATCH_BYTES {
                    row = Vec::new();
                    self.row.set(0)?;
                }
            }
            self.rows_left -= count;
        }
        Ok(())
    }

    /// Reads the next rows of all columns.
    fn fill(&mut self, rows: usize) -> Result<(), Error> {
        self.room.next_batch();
        let mut values = 0;
        for column in &mut self.columns {
            values += column.fill(rows)?;
            if values > PARQUET_ROW_VALUES_MAX {
                return Err(bad("a row has too many values"));
            }
        }
        Ok(())
    }
}

/// Number of rows for a batch that suits the cache.
fn batch_rows(group: &RowGroupMetaData, rows: usize) -> usize {
    let bytes = usize::try_from(group.total_byte_size()).unwrap_or(0);
    let of_row = bytes / rows.max(1);
    (PARQUET_BATCH_BYTES / of_row.max(1)).clamp(1, PARQUET_BATCH_ROWS)
}
