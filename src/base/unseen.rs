//! Characters that nobody sees: they make two names look alike, or one read backwards.

/// Code points that show nothing of their own: Unicode 17.0, those of general category Cf (DerivedGeneralCategory.txt) or
/// with the property Default_Ignorable_Code_Point (DerivedCoreProperties.txt), and the line and paragraph separators.
/// Sorted, both ends included.
const UNSEEN: [(char, char); 25] = [
    ('\u{ad}', '\u{ad}'),
    ('\u{34f}', '\u{34f}'),
    ('\u{600}', '\u{605}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{6dd}', '\u{6dd}'),
    ('\u{70f}', '\u{70f}'),
    ('\u{890}', '\u{891}'),
    ('\u{8e2}', '\u{8e2}'),
    ('\u{115f}', '\u{1160}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180b}', '\u{180f}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{2028}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{ffa0}', '\u{ffa0}'),
    ('\u{fff0}', '\u{fffb}'),
    ('\u{110bd}', '\u{110bd}'),
    ('\u{110cd}', '\u{110cd}'),
    ('\u{13430}', '\u{1343f}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0000}', '\u{e0fff}'),
];

/// Whether a character is of the table; control characters are not, since nobody takes them anyway.
pub fn is_unseen(c: char) -> bool {
    let at = UNSEEN.partition_point(|(_, last)| *last < c);
    UNSEEN.get(at).is_some_and(|(first, _)| *first <= c)
}

/// A name as people see it.
pub fn without_unseen(text: &str) -> String {
    text.chars().filter(|c| !is_unseen(*c)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn marks_of_order_and_blanks_without_width_are_unseen() {
        for c in
            "\u{202e}\u{2066}\u{200f}\u{61c}\u{200b}\u{200d}\u{2060}\u{feff}\u{ad}\u{3164}\u{2028}\u{fe0f}\u{e0041}"
                .chars()
        {
            assert!(is_unseen(c), "U+{:04X}", u32::from(c));
        }
        for c in "aZ9 -äßøжあ한🔔\u{a0}\u{301}\u{2014}".chars() {
            assert!(!is_unseen(c), "U+{:04X}", u32::from(c));
        }
        assert_eq!(without_unseen("An\u{200b}na \u{202e}(door)\u{202c}"), "Anna (door)");
        assert!(UNSEEN.windows(2).all(|pair| pair[0].1 < pair[1].0), "the table is sorted");
    }

    proptest! {
        /// The regular expressions of the test library bring Unicode's tables of their own.
        #[test]
        fn all_of_unicode_s_format_characters_are_in_the_table(format in "\\p{Cf}", seen in "[\\p{L}\\p{N}\\p{P}\\p{S}\\p{Zs}]") {
            prop_assert!(is_unseen(format.chars().next().unwrap()), "{format:?}");
            // Hangul's fillers count as letters.
            let seen = seen.chars().next().unwrap();
            prop_assume!(!"\u{115f}\u{1160}\u{3164}\u{ffa0}".contains(seen));
            prop_assert!(!is_unseen(seen), "{seen:?}");
        }
    }
}
