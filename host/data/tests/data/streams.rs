//! What comes in parts: records at any cut, lines of which some are bad, Arrow and Parquet in chunks.

use std::sync::Arc;

use caisson_data::arrow::{StreamReader, StreamWriter};
use caisson_data::records::{Ends, Records, Splitter};
use caisson_data::{Batch, DataType, DecodeError, DecodeLimits, Field, Schema, arrow, code, csv, ndjson};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::support::{batch, with_one_nan};

/// Cut a text into chunks at these places, and the chunks into records.
fn split(ends: Ends, text: &[u8], cuts: &[prop::sample::Index]) -> Vec<Vec<u8>> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
    places.extend([0, text.len()]);
    places.sort_unstable();
    let mut splitter = Splitter::new(ends, 1 << 20);
    let mut records = Vec::new();
    for pair in places.windows(2) {
        splitter.push(&text[pair[0]..pair[1]]).unwrap();
        // Now and then one at a time, now and then all.
        let most = if pair[0] % 2 == 0 { 1 } else { usize::MAX };
        take(&mut splitter, most, &mut records);
    }
    splitter.end().unwrap();
    take(&mut splitter, usize::MAX, &mut records);
    assert_eq!(splitter.bytes(), 0);
    records
}

fn take(splitter: &mut Splitter, most: usize, to: &mut Vec<Vec<u8>>) {
    while !splitter.is_empty() {
        to.extend(splitter.take(most, usize::MAX).iter().map(<[u8]>::to_vec));
    }
}

fn rows(batches: &[Batch]) -> Batch {
    Batch::concat(batches).unwrap()
}

proptest! {
    #[test]
    fn lines_are_the_same_at_any_cut(text in "([ab{}\"\r]{0,5}\n?){0,12}", cuts in vec(any::<prop::sample::Index>(), 0..8)) {
        let expected: Vec<Vec<u8>> = text.split_inclusive('\n').map(|line| {
            let line = line.strip_suffix('\n').map_or(line, |l| l.strip_suffix('\r').unwrap_or(l));
            line.as_bytes().to_vec()
        }).collect();
        prop_assert_eq!(split(Ends::Line, text.as_bytes(), &cuts), expected);
    }

    /// Every batch, its CSV cut anywhere, read in parts: the batch.
    #[test]
    fn csv_rows_are_the_same_at_any_cut(batch in batch(), cuts in vec(any::<prop::sample::Index>(), 0..8), end in prop::sample::select(vec!["\n", "\r\n", "\r"])) {
        let mut text = Vec::new();
        csv::encode_header(batch.schema(), &mut text);
        let mut body = Vec::new();
        csv::encode_rows(&batch, &mut body);
        // Line ends of other systems, where no cell holds one.
        let plain = !text.contains(&b'"') && !body.contains(&b'"') && end != "\n";
        text.extend_from_slice(&body);
        if plain {
            text = String::from_utf8(text).unwrap().replace('\n', end).into_bytes();
        }
        let records = split(Ends::CsvRow, &text, &cuts);
        let table = csv::Table::new(batch.schema(), &records[0]).unwrap();
        let sifted = table.decode(records[1..].iter().map(Vec::as_slice), &DecodeLimits::default()).unwrap();
        prop_assert_eq!(&sifted.refused, &vec![]);
        prop_assert!(sifted.batch.is_same(&with_one_nan(&batch)));
    }

    /// Good lines are read as if the bad ones weren't there, whatever a bad one had set before it failed.
    #[test]
    fn bad_lines_leave_no_trace(batch in batch(), bad in vec(any::<(prop::sample::Index, prop::sample::Index)>(), 0..12)) {
        let mut good = Vec::new();
        ndjson::encode(&batch, &mut good);
        let mut lines: Vec<Vec<u8>> = good.split(|&b| b == b'\n').filter(|l| !l.is_empty()).map(<[u8]>::to_vec).collect();
        let mut expected = vec![true; lines.len()];
        for (place, cut) in bad {
            let at = place.index(lines.len() + 1);
            let line = lines.get(at).cloned().unwrap_or_else(|| b"{}".to_vec());
            // A line without its end is no object.
            let cut = line[..cut.index(line.len().max(1))].to_vec();
            lines.insert(at, cut);
            expected.insert(at, false);
        }
        let sifted = ndjson::decode(batch.schema(), lines.iter().map(Vec::as_slice), &DecodeLimits::default()).unwrap();
        let refused: Vec<usize> = sifted.refused.iter().map(|(at, _)| *at).collect();
        let bad: Vec<usize> = (0..expected.len()).filter(|&at| !expected[at]).collect();
        prop_assert_eq!(refused, bad);
        prop_assert!(sifted.batch.is_same(&with_one_nan(&batch)));
    }

    #[test]
    fn arrow_in_chunks_is_the_same(batch in batch(), size in 1usize..200, part in 1usize..5) {
        let stream = in_parts(&batch, part);
        let back = read_in_chunks(batch.schema(), &stream, size, part).unwrap();
        prop_assert!(back.is_same(&batch));
        let whole = arrow::decode(batch.schema(), &stream, &DecodeLimits::default()).unwrap();
        prop_assert!(whole.is_same(&batch));
    }

    /// Up to eight bytes changed anywhere, a piece cut out or put in: an error or some rows.
    #[test]
    fn changed_arrow_does_no_harm(
        batch in batch(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in any::<(prop::sample::Index, u8)>(),
        size in 1usize..500,
    ) {
        let mut stream = in_parts(&batch, 3);
        for (at, byte) in changes {
            let at = at.index(stream.len());
            stream[at] = byte;
        }
        let at = cut.0.index(stream.len());
        let end = (at + usize::from(cut.1 % 16)).min(stream.len());
        if cut.1 & 0x80 == 0 {
            stream.drain(at..end);
        } else {
            let piece = stream[at..end].to_vec();
            stream.splice(at..at, piece);
        }
        if let Ok(back) = read_in_chunks(batch.schema(), &stream, size, 2) {
            prop_assert_eq!(back.schema(), batch.schema());
        }
    }
}

/// A stream of record batches of so many rows.
fn in_parts(batch: &Batch, part: usize) -> Vec<u8> {
    let mut writer = StreamWriter::new(batch.schema()).unwrap();
    let mut stream = Vec::new();
    for start in (0..batch.rows()).step_by(part) {
        let end = (start + part).min(batch.rows());
        stream.extend(writer.write(&batch.slice_rows(start..end).unwrap()).unwrap());
    }
    stream.extend(writer.finish().unwrap());
    stream
}

fn read_in_chunks(
    schema: &Arc<Schema>,
    stream: &[u8],
    size: usize,
    part: usize,
) -> Result<Batch, DecodeError> {
    let limits = DecodeLimits::default();
    let mut reader = StreamReader::new(schema, &limits);
    let mut batches = vec![Batch::empty(Arc::clone(schema))];
    for chunk in stream.chunks(size) {
        reader.feed(chunk.to_vec());
        while let Some(table) = reader.next_table()? {
            for start in (0..table.rows()).step_by(part) {
                batches.push(table.batch(start..start + part, &limits)?);
            }
        }
    }
    reader.finish()?;
    Ok(rows(&batches))
}

#[test]
fn parts_are_bounded_by_rows_and_bytes() {
    let mut splitter = Splitter::new(Ends::Line, 10);
    splitter.push(b"aaaa\nbb\n\ncccccccccc").unwrap();
    assert_eq!((splitter.len(), splitter.bytes()), (3, 9));
    let texts = |records: &Records| records.iter().map(<[u8]>::to_vec).collect::<Vec<_>>();
    assert_eq!(texts(&splitter.take(9, 1)), [b"aaaa"], "one at least");
    assert_eq!(splitter.take(9, 3).iter().count(), 1);
    let blank = splitter.take(1, 9);
    assert_eq!((blank.iter().count(), blank.filled().count()), (1, 0));
    let error = splitter.push(b"c").unwrap_err();
    assert_eq!(error.code, code::TOO_LARGE, "{error}");
}

#[test]
fn a_table_that_ends_in_quotes_is_refused() {
    let mut splitter = Splitter::new(Ends::CsvRow, 100);
    splitter.push(b"a\n\"1\n2\n").unwrap();
    assert_eq!(splitter.len(), 1);
    assert_eq!(splitter.end().unwrap_err().code, code::BAD_CSV);
}

#[test]
fn empty_lines_are_cells_of_a_table_with_one_column() {
    let schema = Arc::new(Schema::new(vec![Field::new("x", DataType::Fp32).nullable()]).unwrap());
    let table = csv::Table::new(&schema, b"\xef\xbb\xbfx").unwrap();
    assert!(table.takes_empty_lines());
    let lines: [&[u8]; 3] = [b"1", b"", b"1,2"];
    let sifted = table.decode(lines.into_iter(), &DecodeLimits::default()).unwrap();
    assert_eq!(sifted.batch.rows(), 2);
    assert_eq!(sifted.refused[0].0, 2);
    assert_eq!(sifted.refused[0].1.code, code::BAD_CSV);
}

#[test]
fn a_record_batch_of_rows_without_bytes_is_refused() {
    use arrow_array::{NullArray, RecordBatch};
    let schema = Arc::new(Schema::new(vec![Field::new("x", DataType::Fp32).nullable()]).unwrap());
    let rows = arrow::RECORD_BATCH_ROWS_MAX + 1;
    let field = arrow_schema::Field::new("x", arrow_schema::DataType::Null, true);
    let arrow_schema = Arc::new(arrow_schema::Schema::new(vec![field]));
    let record_batch =
        RecordBatch::try_new(arrow_schema.clone(), vec![Arc::new(NullArray::new(rows))]).unwrap();
    let mut writer = arrow_ipc::writer::StreamWriter::try_new(Vec::new(), &arrow_schema).unwrap();
    writer.write(&record_batch).unwrap();
    let stream = writer.into_inner().unwrap();
    assert!(stream.len() < 1000);
    let error = read_in_chunks(&schema, &stream, 64, 1000).unwrap_err();
    assert_eq!(error.code, code::TOO_MANY_ROWS, "{error}");
}

#[test]
fn a_message_that_announces_more_than_it_may_have_is_refused_when_that_much_came() {
    let schema = Arc::new(Schema::new(vec![Field::new("x", DataType::Fp64)]).unwrap());
    let batch = Batch::empty(Arc::clone(&schema));
    let mut stream = StreamWriter::new(&schema).unwrap().write(&batch).unwrap();
    // A continuation marker and a length of 4 GiB.
    stream.extend([0xff; 7]);
    stream.extend([0x7f; 1]);
    let limits = DecodeLimits {
        bytes_max: 10_000,
        ..DecodeLimits::default()
    };
    let mut reader = StreamReader::new(&schema, &limits);
    reader.feed(stream);
    assert_eq!(reader.next_table().unwrap().unwrap().rows(), 0);
    assert!(reader.next_table().unwrap().is_none());
    let mut error = None;
    for _ in 0..20 {
        reader.feed(vec![0u8; 1000]);
        error = reader.next_table().err();
        if error.is_some() {
            break;
        }
    }
    assert_eq!(error.unwrap().code, code::TOO_LARGE);
}

#[cfg(feature = "parquet")]
mod parquet {
    use std::io::Write as _;

    use caisson_data::parquet::{StreamWriter, to_arrow_stream};

    use super::*;

    fn read(file: &[u8]) -> Result<Vec<u8>, caisson_data::parquet::Error> {
        let mut temporary = tempfile::tempfile().unwrap();
        temporary.write_all(file).unwrap();
        let mut stream = Vec::new();
        to_arrow_stream(temporary, &mut stream)?;
        Ok(stream)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn what_goes_out_comes_in(batch in batch()) {
            // Parquet has no lists of length 0 and needs a column.
            let fields = batch.schema().fields();
            prop_assume!(fields.iter().all(|f| f.row_elements() > 0));
            let mut writer = StreamWriter::new(batch.schema()).unwrap();
            let mut file = writer.write(&batch).unwrap();
            file.extend(writer.finish().unwrap());
            let stream = read(&file).unwrap();
            let back = arrow::decode(batch.schema(), &stream, &DecodeLimits::default()).unwrap();
            prop_assert!(back.is_same(&batch));
        }
    }

    #[test]
    fn what_is_no_file_is_refused() {
        for bytes in [&b""[..], b"PAR1", b"PAR1\xff\xff\xff\x7fPAR1", &[0; 100]] {
            assert!(read(bytes).is_err());
        }
    }
}
