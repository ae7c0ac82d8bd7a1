# Loss curves of metrics files (JSONL, one object an iteration): drawn in the terminal, as a table side by side, and as an SVG. Each curve
# lies at its own iterations on one axis, which ends with the longest run. Of an iteration that a file has twice, of a run that was
# continued from an earlier checkpoint, the last record counts, and what the run did beyond it before is gone.
# usage: awk -f scripts/curves.awk [-v svg=OUT.svg] RUN.jsonl [RUN.jsonl]        plain POSIX awk

function field(name,   pattern, value) {  # the number of "name": ..., or "" when there is none
  pattern = "\"" name "\": *[-+0-9.eE]+"
  if (!match($0, pattern)) return ""
  value = substr($0, RSTART, RLENGTH)
  sub(/^[^:]*: */, "", value)
  return value
}

function label_of(path,   parts, n) {  # out/bf16_mixed.jsonl -> bf16_mixed
  n = split(path, parts, "/")
  sub(/\.jsonl$/, "", parts[n])
  return parts[n]
}

function smoothed(r, i,   from, k, sum) {  # mean of up to ten values that end at i
  from = i > 10 ? i - 9 : 1
  for (k = from; k <= i; ++k) sum += loss[r, k]
  return sum / (i - from + 1)
}

FNR == 1 { run[++runs] = label_of(FILENAME) }
/"kind": *"iteration"/ && field("lm_loss") != "" {
  at = field("iteration") + 0
  while (count[runs] > 0 && iteration[runs, count[runs]] >= at) --count[runs]
  i = ++count[runs]
  iteration[runs, i] = at
  loss[runs, i] = field("lm_loss") + 0
}

END {
  for (r = 1; r <= runs; ++r)
    if (count[r] > 0 && iteration[r, count[r]] > last) last = iteration[r, count[r]]
  if (last == 0) { print "curves: no iterations in the metrics" > "/dev/stderr"; exit 1 }
  low = 1e9
  for (r = 1; r <= runs; ++r)
    for (i = 1; i <= count[r]; ++i) {
      v = smoothed(r, i)
      if (v < low) low = v
      if (v > high) high = v
    }
  if (high <= low) high = low + 1
  draw()
  table()
  if (svg != "") write_svg()
}

function draw(   width, height, r, i, x, y, row, mark) {
  width = 72; height = 16
  for (r = 1; r <= runs; ++r) {
    mark = r == 1 ? "o" : "+"
    for (i = 1; i <= count[r]; ++i) {
      x = int((width - 1) * iteration[r, i] / last)
      y = int((height - 1) * (high - smoothed(r, i)) / (high - low) + 0.5)
      cell[y, x] = cell[y, x] == "" || cell[y, x] == mark ? mark : "*"
    }
  }
  printf "\n  loss (nats per byte)\n"
  for (y = 0; y < height; ++y) {
    row = ""
    for (x = 0; x < width; ++x) row = row (cell[y, x] == "" ? " " : cell[y, x])
    printf "%6.2f |%s\n", high - (high - low) * y / (height - 1), row
  }
  row = sprintf("%*s", width, "")
  gsub(/ /, "-", row)
  printf "%6s +%s\n%8s%-*d%d iterations\n", "", row, "", width - 14, 0, last
  for (r = 1; r <= runs; ++r) printf "%8s%s %s\n", "", r == 1 ? "o" : "+", run[r]
  if (runs > 1) printf "%8s* both\n", ""
}

function newest_at(r, at,   i) {  # the last record of a run up to an iteration; 0: the run begins later or has ended before
  if (count[r] == 0 || iteration[r, count[r]] < at) return 0
  for (i = count[r]; i >= 1 && iteration[r, i] > at; --i) continue
  return i
}

function table(   rows, k, r, i, at) {
  rows = 8
  printf "\n%10s", "iteration"
  for (r = 1; r <= runs; ++r) printf "  %38s", run[r]
  printf "\n"
  for (k = 1; k <= rows; ++k) {
    at = int(last * k / rows)
    printf "%10d", at
    for (r = 1; r <= runs; ++r) {
      i = newest_at(r, at)
      if (i > 0) printf "  %38.4f", smoothed(r, i)
      else printf "  %38s", "-"
    }
    printf "\n"
  }
}

function place_x(v) { return sprintf("%.1f", 60 + 560 * v / last) }
function place_y(v) { return sprintf("%.1f", 20 + 290 * (high - v) / (high - low)) }

function write_svg(   r, i, k, v, color) {
  color[1] = "#1f6feb"; color[2] = "#d1242f"
  print "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 640 360\" font-family=\"sans-serif\" font-size=\"12\">" > svg
  print "<rect width=\"640\" height=\"360\" fill=\"white\"/>" > svg
  for (k = 0; k <= 4; ++k) {
    v = low + (high - low) * k / 4
    printf "<line x1=\"60\" x2=\"620\" y1=\"%s\" y2=\"%s\" stroke=\"#ddd\"/>", place_y(v), place_y(v) > svg
    printf "<text x=\"54\" y=\"%s\" text-anchor=\"end\" dy=\"4\">%.2f</text>\n", place_y(v), v > svg
    printf "<text x=\"%s\" y=\"328\" text-anchor=\"middle\">%d</text>\n", place_x(last * k / 4), last * k / 4 > svg
  }
  print "<text x=\"340\" y=\"350\" text-anchor=\"middle\">iterations</text>" > svg
  print "<text x=\"14\" y=\"165\" text-anchor=\"middle\" transform=\"rotate(-90 14 165)\">loss, nats per byte</text>" > svg
  for (r = 1; r <= runs; ++r) {
    printf "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"1.5\" points=\"", color[r] > svg
    for (i = 1; i <= count[r]; ++i) printf "%s,%s ", place_x(iteration[r, i]), place_y(smoothed(r, i)) > svg
    printf "\"/>\n<line x1=\"330\" x2=\"350\" y1=\"%d\" y2=\"%d\" stroke=\"%s\" stroke-width=\"3\"/>", 12 + 18 * r, 12 + 18 * r, color[r] > svg
    printf "<text x=\"356\" y=\"%d\" dy=\"4\">%s</text>\n", 12 + 18 * r, run[r] > svg
  }
  print "</svg>" > svg
}
