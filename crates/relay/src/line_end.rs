//! Lines that end as a mailer's `E=` says, where that is not CR LF: commands and message alike, as sendmail writes them.

/// Ends the lines of `out`, which end with CR LF, with `end`. A CR at the very end is kept back until it is known what follows:
/// `owes_cr`.
pub(crate) fn write(out: &mut Vec<u8>, end: &[u8], owes_cr: &mut bool) {
    let came = std::mem::take(out);
    for octet in came {
        match (std::mem::replace(owes_cr, octet == b'\r'), octet) {
            (true, b'\n') => out.extend_from_slice(end),
            (is_owed, octet) => {
                if is_owed {
                    out.push(b'\r');
                }
                if octet != b'\r' {
                    out.push(octet);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_are_replaced_also_where_a_piece_ends_inside_of_one() {
        let mut owes_cr = false;
        let mut all = Vec::new();
        for piece in ["MAIL\r\na\rb\n\r", "\n.\r", "\n"] {
            let mut out = piece.as_bytes().to_vec();
            write(&mut out, b"\n", &mut owes_cr);
            all.append(&mut out);
        }
        assert_eq!(String::from_utf8_lossy(&all), "MAIL\na\rb\n\n.\n");
        assert!(!owes_cr);
    }
}
