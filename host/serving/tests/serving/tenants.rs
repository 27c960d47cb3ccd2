//! Two tenants may call their deployments alike.

use caisson_serving::LoadState;

use crate::support::{System, affine, answer, tenant};

#[tokio::test(flavor = "multi_thread")]
async fn states_of_the_same_name_are_apart() {
    let system = System::new();
    let (a, b) = (tenant("a"), tenant("b"));
    for (owner, scale) in [(&a, 2.0), (&b, 3.0)] {
        system.push(owner, "affine", "1.2.3").await;
        system.apply(owner, &affine("affine", scale)).await.unwrap();
    }
    let serving = system.restarted(&a).await;
    let records = serving.announce(&b).await.unwrap();
    assert_eq!(serving.load_state(&a, "web"), Some(LoadState::Ready));
    assert_eq!(serving.load_state(&b, "web"), Some(LoadState::Loading));
    for record in records {
        serving.load(&b, record).await;
    }
    assert_eq!(answer(&serving.live(&b, "web").unwrap(), 1.0).await, 3.0);
    serving.delete(&a, "web").await.unwrap();
    assert_eq!(serving.load_state(&a, "web"), None);
    assert_eq!(serving.load_states().len(), 1);
    assert_eq!(answer(&serving.live(&b, "web").unwrap(), 1.0).await, 3.0);
}
