use std::{path::Path, time::{Instant,Duration}, sync::Arc, collections::BTreeMap, hint::black_box};
use caisson_inference::*; use caisson_data::*; use ort::{session::*, value::*};
fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let rt = Runtime::load(&root.join("../../.caisson/onnxruntime/libonnxruntime.so")).unwrap();
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_time().build().unwrap();
    for (name, width) in [("mlp", 64usize), ("trees", 10)] { for rows in [1usize, 64] {
        let file = root.join(format!("tests/fixtures/{name}.onnx"));
        let model = Model::load(&rt, &file, &SessionOptions { sessions: Some(1), ..Default::default() }).unwrap();
        let mut session = Session::builder(rt.environment()).unwrap().with_intra_threads(1).unwrap().with_intra_op_spinning(false).unwrap().commit_from_file(&file).unwrap();
        let columns: Vec<f32> = (0..rows * width).map(|i| (i * 7919 % 1000) as f32 / 500.0 - 1.0).collect();
        let shape = [rows, width];
        let names: Vec<String> = (0..width).map(|i| format!("f{i}")).collect();
        let schema = Arc::new(Schema::new(names.iter().map(|n| Field::new(n, DataType::Fp32)).collect()).unwrap());
        let batch = Batch::new(schema.clone(), rows, vec![Block::new(Values::Fp32(columns.clone()))]).unwrap();
        let packed = BTreeMap::from([("X".to_owned(), names)]);
        let b1 = Binding::plan(model.signature(), &schema, &packed, MissingPolicy::Reject, &OutputSpec { names: Some(vec!["probabilities".into()]), shapes: BTreeMap::new() }).unwrap();
        let b2 = Binding::plan(model.signature(), &schema, &packed, MissingPolicy::Reject, &OutputSpec::default()).unwrap();
        let some = Selection::of(model.signature(), &["probabilities"]).unwrap();
        tokio.block_on(async {
            let mut t: [Vec<u64>; 7] = Default::default();
            let dl = || Instant::now() + Duration::from_secs(10);
            macro_rules! m { ($i:expr, $e:expr) => {{ let s = Instant::now(); let r = $e; t[$i].push(s.elapsed().as_nanos() as u64); r }} }
            for _ in 0..20000 {
                m!(0, { let i = TensorRef::from_array_view((shape, &*columns)).unwrap(); black_box(session.run(ort::inputs![i]).unwrap()); });
                m!(1, black_box(model.run(vec![Input::borrowed("X", &shape, ValuesRef::Fp32(&columns))], &Selection::ALL, dl()).await.unwrap()));
                m!(2, black_box(model.run(vec![Input::borrowed("X", &shape, ValuesRef::Fp32(&columns))], &some, dl()).await.unwrap()));
                m!(3, black_box(b1.run(&model, &batch, dl()).await.unwrap()));
                m!(4, black_box(b2.run(&model, &batch, dl()).await.unwrap()));
                let i = m!(5, b1.input_tensors(&batch).unwrap());
                let o = model.run(i, &some, dl()).await.unwrap();
                m!(6, black_box(b1.output_batch(o, rows).unwrap()));
            }
            let v: Vec<u64> = t.iter_mut().map(|v| { v.sort(); v[v.len()/4] }).collect();
            println!("{name} {rows}: bare {} run-all {} run-some {} stage-some {} stage-all {} | in {} out {}", v[0], v[1], v[2], v[3], v[4], v[5], v[6]);
        });
    }}
}
