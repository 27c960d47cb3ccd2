//! Named objects: what is put is there, nothing of it is elsewhere, and what goes leaves no folders.

use caisson_store::{Objects, Store, StoreError};

/// What must hold wherever objects are.
pub(crate) fn behave(objects: &Objects) {
    let paths = |folder: &str| {
        let mut all = Vec::new();
        objects
            .visit(folder, |object| {
                all.push((object.path, object.size));
                Ok(())
            })
            .unwrap();
        all.sort();
        all
    };
    assert!(paths("predictions").is_empty());
    let (a, b) = (
        "predictions/tenant=a/hour=01/part-1.parquet",
        "predictions/tenant=ab/part-2.parquet",
    );
    objects.put(a, b"one".to_vec()).unwrap();
    objects.put(b, b"three".to_vec()).unwrap();
    objects.put(a, b"four".to_vec()).unwrap();
    assert_eq!(objects.get(a, 4).unwrap().unwrap(), b"four");
    assert!(matches!(objects.get(a, 3), Err(StoreError::TooLarge { .. })));
    assert_eq!(objects.get("predictions/none", 9).unwrap(), None);
    assert_eq!(paths("predictions"), [(a.to_owned(), 4), (b.to_owned(), 5)]);
    // A folder is one, and not a beginning of names.
    assert_eq!(paths("predictions/tenant=a"), [(a.to_owned(), 4)]);
    objects.remove(a).unwrap();
    objects.remove(a).unwrap();
    assert_eq!(paths("predictions"), [(b.to_owned(), 5)]);
    assert!(matches!(
        objects.put("../x", Vec::new()),
        Err(StoreError::BadRequest(_))
    ));
}

#[test]
fn they_are_put_found_and_removed_in_the_data_folder() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    behave(&store.objects());
    let root = dir.path().join("objects/predictions");
    assert_eq!(store.objects().place(), dir.path().join("objects"));
    assert!(root.join("tenant=ab/part-2.parquet").is_file());
    assert!(!root.join("tenant=a").exists());
}
