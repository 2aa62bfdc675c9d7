use proptest::prelude::*;

use super::*;

/// What the kernel makes of a program: its return value for a call.
pub(super) fn interpret(
    program: &[Instruction],
    architecture: u32,
    number: u32,
    first: u32,
) -> u32 {
    let (mut at, mut accumulator) = (0, 0);
    loop {
        let step = program[at];
        let branch = |taken: bool| usize::from(if taken { step.if_true } else { step.if_false });
        at += 1;
        match step.code {
            code::LOAD => {
                accumulator = match step.operand {
                    offset::NUMBER => number,
                    offset::ARCHITECTURE => architecture,
                    offset::FIRST_ARGUMENT => first,
                    other => panic!("load from {other}"),
                }
            }
            code::JUMP => at += usize::try_from(step.operand).unwrap(),
            code::IF_EQUAL => at += branch(accumulator == step.operand),
            code::IF_AT_LEAST => at += branch(accumulator >= step.operand),
            code::IF_ANY_BIT => at += branch(accumulator & step.operand != 0),
            code::RETURN => return step.operand,
            other => panic!("instruction {other:#x}"),
        }
    }
}

fn expected(table: &Table, number: u32, first: u32) -> u32 {
    let action = match table.verdicts.get(&number) {
        None => table.other,
        Some(Verdict::Always(action)) => *action,
        Some(Verdict::If(test, otherwise)) => {
            let passes = match test {
                Test::NoneOf(bits) => first & bits == 0,
                Test::Not(value) => first != *value,
                Test::In(values) => values.contains(&first),
            };
            if passes { Action::Allow } else { *otherwise }
        }
    };
    verdict(action).operand
}

fn actions() -> impl Strategy<Value = Action> {
    prop_oneof![
        Just(Action::Allow),
        Just(Action::Kill),
        (1..200_u16).prop_map(Action::Errno)
    ]
}

fn tables() -> impl Strategy<Value = Table> {
    let test = prop_oneof![
        any::<u32>().prop_map(Test::NoneOf),
        (0..4_u32).prop_map(Test::Not),
        Just(Test::In(&[0, 2, 0xffff_ffff])),
        Just(Test::In(&[])),
    ];
    let verdict = prop_oneof![
        actions().prop_map(Verdict::Always),
        (test, actions()).prop_map(|(test, action)| Verdict::If(test, action)),
    ];
    let verdicts = proptest::collection::btree_map(0..600_u32, verdict, 0..400);
    (verdicts, actions()).prop_map(|(verdicts, other)| Table { verdicts, other })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn the_program_says_what_the_policy_says(
        x86_64 in tables(), i386 in tables(), x32 in actions(), first in prop_oneof![0..4_u32, any::<u32>()]
    ) {
        let policy = Policy { x86_64, i386, x32 };
        let program = compile(&policy);
        for number in 0..700 {
            let got = interpret(&program, ARCH_X86_64, number, first);
            prop_assert_eq!(got, expected(&policy.x86_64, number, first));
            let got = interpret(&program, ARCH_I386, number, first);
            prop_assert_eq!(got, expected(&policy.i386, number, first));
        }
        for number in [X32_BIT, X32_BIT | 59, u32::MAX] {
            prop_assert_eq!(interpret(&program, ARCH_X86_64, number, first), verdict(x32).operand);
        }
        prop_assert_eq!(interpret(&program, 0xc000_00b7, 59, first), verdict(Action::Kill).operand);
    }
}
