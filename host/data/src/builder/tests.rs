use super::*;
use crate::DataType;

fn schema(nullable: bool) -> Arc<Schema> {
    let mut fields = vec![
        Field::new("a", DataType::Fp32),
        Field::new("s", DataType::Text),
        Field::new("t", DataType::Text),
        Field::new("b", DataType::Fp32),
    ];
    if nullable {
        fields = fields.into_iter().map(Field::nullable).collect();
    }
    Arc::new(Schema::new(fields).expect("a schema"))
}

fn batch() -> Batch {
    let mut builder = BatchBuilder::new(schema(true), 2).expect("small");
    builder.fp32s_mut(0).expect("fp32").copy_from_slice(&[1.0, 2.0]);
    builder.fp32s_mut(3).expect("fp32").copy_from_slice(&[3.0, 4.0]);
    for (column, texts) in [(1, ["x", "yy"]), (2, ["", "z"])] {
        for text in texts {
            builder
                .varlen_mut(column)
                .expect("text")
                .push(text.as_bytes())
                .expect("short");
        }
    }
    builder.set_missing(3, 1);
    builder.finish().expect("a batch")
}

#[test]
fn a_batch_that_is_gone_on_from_keeps_what_is_not_touched() {
    let same = BatchBuilder::from_batch(batch(), schema(true)).expect("same layout");
    assert_eq!(same.validity(3).expect("there").count_missing(2), 1);
    assert!(same.finish().expect("a batch").is_same(&batch()));

    let mut builder = BatchBuilder::from_batch(batch(), schema(false)).expect("same layout");
    builder.fp32s_mut(3).expect("fp32")[1] = 9.0;
    builder.set_all_present(3);
    for text in ["new", "er"] {
        builder
            .varlen_mut(2)
            .expect("text")
            .push(text.as_bytes())
            .expect("short");
    }
    let changed = builder.finish().expect("nothing is missing now");
    let column = |i| changed.column(i).expect("there");
    assert_eq!(column(0).fp32s(), Some(&[1.0, 2.0][..]));
    assert_eq!(column(3).fp32s(), Some(&[3.0, 9.0][..]));
    assert_eq!([column(1).text(0), column(1).text(1)], [Some("x"), Some("yy")]);
    assert_eq!([column(2).text(0), column(2).text(1)], [Some("new"), Some("er")]);
}

#[test]
fn a_batch_can_not_go_on_under_another_layout_or_with_a_forbidden_gap() {
    let other = |fields| Arc::new(Schema::new(fields).expect("a schema"));
    let flat = other(vec![Field::new("a", DataType::Fp32).with_shape([2, 3])]);
    let tall = other(vec![Field::new("a", DataType::Fp32).with_shape([3, 2])]);
    let error = BatchBuilder::from_batch(Batch::empty(flat), tall).err();
    assert!(matches!(error, Some(BatchError::OtherSchema { .. })), "{error:?}");

    let gap = BatchBuilder::from_batch(batch(), schema(false))
        .expect("same layout")
        .finish();
    assert_eq!(
        gap.err(),
        Some(BatchError::Missing {
            row: 1,
            column: "b".into()
        })
    );
}
