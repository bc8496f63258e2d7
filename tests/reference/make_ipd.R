# Makes ipd_data.csv and ipd_values.csv: one- and two-stage meta-analysis of individual patient data by R with nlme and metafor.
# Run in this folder: Rscript make_ipd.R   (R 4.2.2; nlme 3.1-162, metafor 3.8-1). Optimisers go on as long as the likelihood changes.
suppressMessages({library(nlme); library(metafor)})
set.seed(1)
sizes <- c(24, 30, 36, 44, 28, 52, 33)
d <- do.call(rbind, lapply(seq_along(sizes), function(i) {
  n <- sizes[i]
  crp <- round(rnorm(n, 0.3 * i, 0.9), 3)
  base <- round(rnorm(n, 22, 4), 1)
  arm <- rep(0:1, length.out = n)
  effect <- rnorm(1, -2, 3)
  slope <- rnorm(1, -1, 2.5)
  y <- round(rnorm(1, 14, 3) + 0.6 * crp + 0.4 * (base - 22) + arm * (effect + slope * (crp - mean(crp))) + rnorm(n, 0, runif(1, 2, 5)), 2)
  data.frame(trial = i, arm = arm, crp = crp, base = base, outcome = y)
}))
write.csv(d, "ipd_data.csv", row.names = FALSE, quote = FALSE)
d$centre <- ave(d$crp, d$trial)
d$x <- d$crp - d$centre
d$b <- d$base - ave(d$base, d$trial)
d$t <- factor(d$trial)
d$ax <- d$arm * d$x
d$across <- d$arm * (d$centre - mean(unique(d$centre)))

values <- NULL
keep <- function(model, quantity, value) values <<- rbind(values, data.frame(model = model, quantity = quantity, value = sprintf("%.10g", value)))
control <- lmeControl(maxIter = 1000, msMaxIter = 1000, niterEM = 100, tolerance = 1e-10, msTol = 1e-12, opt = "nlminb")
one_stage <- function(model, terms, random, method) {
  fixed <- as.formula(paste("outcome ~ 0 + t + t:x + t:b +", paste(terms, collapse = " + ")))
  f <- lme(fixed, random = list(t = random), weights = varIdent(form = ~ 1 | t), data = d, method = method, control = control)
  for (i in seq_along(terms)) {
    keep(model, paste0("estimate", i - 1), fixef(f)[terms[i]])
    # lme multiplies the covariance of ML by N / (N - p) in summary(), but not in varFix
    keep(model, paste0("std_error", i - 1), sqrt(f$varFix[terms[i], terms[i]]))
  }
  v <- getVarCov(f)
  for (i in seq_len(nrow(v))) keep(model, paste0("tau2_", rownames(v)[i]), v[i, i])
  if (inherits(random, "pdSymm")) keep(model, "correlation", v[1, 2] / sqrt(v[1, 1] * v[2, 2]))
  s <- (f$sigma * c(coef(f$modelStruct$varStruct, unconstrained = FALSE, allCoef = TRUE))[levels(d$t)])^2
  for (i in seq_along(s)) keep(model, paste0("residual", i - 1), s[i])
}
one_stage("both_REML", c("arm", "ax"), pdDiag(~ 0 + arm + ax), "REML")
one_stage("both_ML", c("arm", "ax"), pdDiag(~ 0 + arm + ax), "ML")
one_stage("correlated_REML", c("arm", "ax"), pdSymm(~ 0 + arm + ax), "REML")
one_stage("correlated_ML", c("arm", "ax"), pdSymm(~ 0 + arm + ax), "ML")
one_stage("treatment_REML", "arm", pdDiag(~ 0 + arm), "REML")
one_stage("across_REML", c("arm", "ax", "across"), pdDiag(~ 0 + arm + ax), "REML")

fits <- lapply(split(d, d$trial), function(s) summary(lm(outcome ~ arm * x + b, s))$coefficients)
for (term in c("arm", "arm:x")) {
  f <- rma(sapply(fits, function(m) m[term, 1]), sei = sapply(fits, function(m) m[term, 2]), method = "REML", test = "knha",
           control = list(threshold = 1e-12, maxiter = 1000))
  model <- if (term == "arm") "two_stage_treatment" else "two_stage_interaction"
  keep(model, "estimate", c(f$beta)); keep(model, "std_error", f$se); keep(model, "tau2", f$tau2); keep(model, "p_value", f$pval)
}
write.csv(values, "ipd_values.csv", row.names = FALSE, quote = FALSE)
