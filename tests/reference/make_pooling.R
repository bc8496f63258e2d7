# Values of metafor beside those of meta/cases.csv: subgroups, Henmi and Copas's limits found to the root, rules for zero cells.
# Rscript make_pooling.R, in this folder; writes pooling_values.csv.
suppressMessages(library(metafor))
rows <- list()
put <- function(data, method, inputs, values)
  for (name in names(values)) rows[[length(rows) + 1]] <<- data.frame(data = data, method = method, inputs = inputs, quantity = name, value = as.numeric(values[[name]]))
tight <- list(threshold = 1e-13, maxiter = 10000, tol = 1e-13)
of <- function(name) read.csv(file.path("meta", "datasets", paste0(name, ".csv")))

# subgroups by one regression (shared tau2) and one by one (separate tau2)
sub <- function(name, by, method, test) {
  d <- of(name); d$g <- factor(d[[by]]); inputs <- paste(by, method, test)
  shared <- rma(yi, vi, mods = ~ g - 1, data = d, method = method, test = test, control = tight)
  contrast <- rma(yi, vi, mods = ~ g, data = d, method = method, test = test, control = tight)
  put(name, "shared", inputs, list(q = contrast$QM, p = contrast$QMp, tau2 = shared$tau2))
  for (j in seq_along(levels(d$g))) put(name, "shared", paste(inputs, levels(d$g)[j]), list(estimate = shared$beta[j], std_error = shared$se[j], lower = shared$ci.lb[j], upper = shared$ci.ub[j], p_value = shared$pval[j]))
  fits <- lapply(levels(d$g), function(l) rma(yi, vi, data = d[d$g == l, ], method = method, test = test, control = tight))
  b <- sapply(fits, function(f) f$beta[1]); se <- sapply(fits, function(f) f$se)
  meta <- rma(b, sei = se, method = "EE")
  put(name, "separate", inputs, list(q = meta$QE, p = meta$QEp))
  for (j in seq_along(fits)) { f <- fits[[j]]; put(name, "separate", paste(inputs, levels(d$g)[j]), list(estimate = f$beta[1], std_error = f$se, lower = f$ci.lb, upper = f$ci.ub, p_value = f$pval, tau2 = f$tau2, q = f$QE, q_p_value = f$QEp)) }
}
for (method in c("DL", "REML", "PM")) for (test in c("z", "knha")) { sub("bcg_logRR", "alloc", method, test); sub("raudenbush1985", "setting", method, test); sub("raudenbush1985", "tester", method, test) }

# Henmi and Copas: hc() by default stops its search for the quantile at 1.2e-4
for (name in c("bcg_logRR", "cohen1981_ZCOR", "crp11", "egger2001_logOR", "hackshaw1998", "li2007_logOR", "raudenbush1985", "edge_k3", "konstantopoulos2011")) {
  h <- hc(rma(yi, vi, data = of(name), method = "DL"), control = list(tol = 1e-13))
  put(name, "henmi_copas", "", list(estimate = h$beta, std_error = h$se, lower = h$ci.lb, upper = h$ci.ub))
}

# zero cells
d <- data.frame(ai = c(0, 3, 5, 0, 7, 0, 12), n1i = c(20, 25, 30, 18, 7, 40, 60), ci = c(2, 0, 6, 0, 4, 0, 9), n2i = c(22, 20, 31, 17, 9, 35, 58))
write.csv(d, file.path("meta", "datasets", "counts_zero_cells.csv"), row.names = FALSE)
for (to in c("only0", "all", "if0all", "none")) for (add in c(0.5, 1)) for (drop in c(FALSE, TRUE)) for (m in c("OR", "RR", "RD", "AS", "PETO", "PHI", "YUQ", "YUY", "PBIT")) {
  e <- suppressWarnings(escalc(m, ai = ai, n1i = n1i, ci = ci, n2i = n2i, data = d, to = to, add = add, drop00 = drop))
  if (m %in% c("OR", "RR", "RD") && !drop && to != "none") {
    f <- rma(e$yi, e$vi, method = "REML", control = tight)
    put("zero_cells", paste0("rma_REML_", m), paste0("to=", to, "; add=", add), list(beta = f$beta[1], se = f$se, tau2 = f$tau2, k = f$k))
  }
  for (i in seq_len(nrow(d))) put("zero_cells", paste0("escalc_", m), paste(to, add, drop, i), list(yi = e$yi[i], vi = e$vi[i]))
}
# Sweeting's correction by the size of the other arm, by hand
zero <- d$ai == 0 | d$ci == 0 | d$ai == d$n1i | d$ci == d$n2i
r <- d$n2i / d$n1i; kt <- ifelse(zero, 1 / (r + 1), 0); kc <- ifelse(zero, r / (r + 1), 0)
a <- d$ai + kt; b <- d$n1i - d$ai + kt; c <- d$ci + kc; dd <- d$n2i - d$ci + kc
yi <- log(a * dd / (b * c)); vi <- 1 / a + 1 / b + 1 / c + 1 / dd; f <- rma(yi, vi, method = "REML", control = tight)
put("zero_cells", "TACC_OR", "", list(beta = f$beta[1], se = f$se, tau2 = f$tau2, yi1 = yi[1], vi1 = vi[1]))
write.csv(do.call(rbind, rows), "pooling_values.csv", row.names = FALSE, quote = FALSE, na = "")
