//! The arithmetic, with the examples of Kubernetes' pages.

use super::*;

fn sample(known: &[u64], missing: u64, unready: u64) -> Sample {
    Sample { sum: known.iter().sum(), known: known.len() as u64, missing, unready }
}

#[test]
fn as_many_as_bring_the_mean_to_its_target() {
    for (known, missing, unready, current, target, wanted, why) in [
        // https://kubernetes.io/docs/concepts/workloads/autoscaling/horizontal-pod-autoscale/, "Algorithm details".
        (&[200][..], 0, 0, 1, 100, Some(2), "200m of 100m: doubled"),
        (&[50, 50, 50, 50], 0, 0, 4, 100, Some(2), "50m of 100m: halved"),
        // .../horizontal-pod-autoscale-walkthrough/: 305 % of 50 % with one replica are seven, 0 % leave the minimum.
        (&[305], 0, 0, 1, 50, Some(7), "the walkthrough's load"),
        (&[0, 0], 0, 0, 2, 50, Some(0), "no load at all"),
        (&[110, 110], 0, 0, 2, 100, Some(2), "a ratio of 1.1 is within the tolerance"),
        (&[90, 90], 0, 0, 2, 100, Some(2), "so is 0.9"),
        (&[111, 111], 0, 0, 2, 100, Some(3), "1.11 is not"),
        (&[89; 10], 0, 0, 10, 100, Some(9), "0.89 is not"),
        (&[200, 0], 0, 0, 2, 100, Some(2), "the mean counts"),
        // Without figures: on target when there would be fewer, idle when there would be more.
        (&[50, 50], 2, 0, 4, 100, Some(3), "2 × 50 + 2 × 100 = 300"),
        (&[220, 220], 2, 0, 4, 100, Some(4), "(2 × 220 + 2 × 0) / 4 is within the tolerance"),
        (&[300, 300], 2, 0, 4, 100, Some(6), "600 in all"),
        (&[150], 3, 0, 4, 100, Some(4), "it would be the other direction: nothing"),
        // Not ready yet: idle when there would be more, else not counted.
        (&[220], 0, 1, 2, 100, Some(2), "with the second one, which is on its way, within the tolerance"),
        (&[240], 0, 1, 2, 100, Some(3), "not enough"),
        (&[50, 50], 0, 2, 4, 100, Some(1), "half of two"),
        // Some have failed.
        (&[120], 0, 0, 4, 100, Some(4), "more are needed, so there are not fewer"),
        (&[], 3, 1, 4, 100, None, "nothing is known"),
    ] {
        assert_eq!(sample(known, missing, unready).wanted(current, target), wanted, "{why}");
    }
    assert_eq!(sample(&[u64::MAX], 1, 1).wanted(1, u64::MAX), Some(1), "whatever is said");
}

fn rules(cpu: Option<u64>, memory: Option<u64>) -> Autoscale {
    let (cpu, memory) = (cpu.map(Millicpu), memory.map(Bytes));
    Autoscale { min: 2, max: 8, cpu, memory, stabilization: Duration::from_secs(300) }
}

#[test]
fn the_greatest_figure_wins_and_one_alone_leads_to_more_only() {
    let picture = |cpu: &[u64], memory: &[u64]| Picture {
        cpu: sample(cpu, 2 - cpu.len() as u64, 0),
        memory: sample(memory, 2 - memory.len() as u64, 0),
    };
    let both = rules(Some(100), Some(1000));
    assert_eq!(picture(&[150, 150], &[2000, 2000]).wanted(&both, 2), Some(4));
    assert_eq!(picture(&[150, 150], &[10, 10]).wanted(&both, 2), Some(3));
    assert_eq!(picture(&[10, 10], &[10, 10]).wanted(&both, 2), Some(1));
    assert_eq!(picture(&[], &[10, 10]).wanted(&both, 2), None, "the processor may be busy");
    assert_eq!(picture(&[], &[3000, 3000]).wanted(&both, 2), Some(6));
    assert_eq!(picture(&[], &[]).wanted(&both, 2), None);
    assert_eq!(picture(&[10, 10], &[9000, 9000]).wanted(&rules(Some(100), None), 2), Some(1));
}

#[test]
fn what_is_allowed() {
    let rules = Autoscale { max: 100, ..rules(Some(600), None) };
    let (gib, mib) = (Bytes(1 << 30), Bytes(1 << 20));
    let short = |available, worker| Hold::Memory { available, worker };
    for (current, wanted, highest, room, count, hold) in [
        (2, 3, 3, None, 3, None),
        (2, 9, 9, None, 6, Some(Hold::Step)),
        (10, 50, 50, None, 20, Some(Hold::Step)),
        (60, 150, 150, None, 100, Some(Hold::Maximum)),
        (100, 150, 150, None, 100, Some(Hold::Maximum)),
        (2, 4, 4, Some((mib, gib)), 2, Some(short(mib, gib))),
        (2, 4, 4, Some((gib, gib)), 3, Some(short(gib, gib))),
        (2, 4, 4, Some((gib, mib)), 4, None),
        (2, 4, 4, Some((gib, Bytes(0))), 4, None),
        (8, 8, 8, Some((mib, gib)), 8, None),
        (8, 3, 8, None, 8, Some(Hold::Window)),
        (8, 3, 5, None, 5, Some(Hold::Window)),
        (8, 3, 3, Some((mib, gib)), 3, None),
        (8, 0, 0, None, 2, Some(Hold::Minimum)),
    ] {
        assert_eq!(allowed(&rules, current, wanted, highest, room), (count, hold), "{current} → {wanted}");
    }
}
