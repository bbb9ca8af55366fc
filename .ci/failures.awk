# Reads what go test -v printed, and prints what each test that failed had said,
# its last 40 lines: among thousands of tests nobody finds them otherwise.
function keep(line) { said[test] = said[test] line "\n" }

/^=== (RUN|CONT|NAME|PAUSE) / { test = $3; next }

/^ *--- FAIL: / {
  name = $3
  print "\n" $0
  count = split(said[name], lines, "\n")
  for (i = (count > 41 ? count - 40 : 1); i < count; i++) print substr(lines[i], 1, 2000)
  next
}

/^ *--- (PASS|SKIP): / { delete said[$3]; next }

# A panic, a data race or a build that failed belongs to no test.
/^(panic:|fatal error:|FAIL|WARNING: DATA RACE)/ { print; next }

{ keep($0) }
