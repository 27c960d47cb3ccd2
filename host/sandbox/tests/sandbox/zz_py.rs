use crate::support::{affine, floats, sandbox, xs};
#[tokio::test]
async fn python() {
    let log = crate::logs::Captured::start();
    let bytes = std::fs::read("/tmp/py/py.wasm").unwrap();
    let t = std::time::Instant::now();
    let seen = sandbox().inspect(&bytes).await;
    eprintln!("{:?} {seen:?}", t.elapsed());
    let mut r = affine();
    r.stage = "py".into();
    r.component = bytes;
    r.config = r#"{"scale":3}"#.into();
    let t = std::time::Instant::now();
    let s = r.prepare().await.unwrap();
    eprintln!("{:?} {:?}", t.elapsed(), s.kind());
    for _ in 0..5 {
        let t = std::time::Instant::now();
        eprintln!("{:?}", floats(&s.apply(&xs(&[1.0, 2.0])).await.unwrap()));
        eprintln!("{:?}", t.elapsed());
    }
    eprintln!("{:?} {:?}", s.stats(), log.lines("py"));
}
