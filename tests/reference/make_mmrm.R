# Reference values for repeated measures and for random slopes, computed with R and written beside this script:
#   mmrm_data.csv    the data sets, one patient a line; arm 0 or 1, covariate x (empty where a set has none), visits y1 to y5 (empty: missing)
#   mmrm_values.csv  what the methods return, with 10 digits
# Run as: Rscript make_mmrm.R   (R 4.2.2; mmrm 0.3.18, nlme 3.1-162, lme4 1.1-31, lmerTest 3.1-3, pbkrtest 0.5.2)
# Optimisers are told to go on as long as the likelihood changes; what they leave is judged in test_mmrm.py.

library(mmrm)
library(nlme)
library(lme4)
library(lmerTest)
library(pbkrtest)

wide <- function(name, arm, x, y) {
  y <- as.data.frame(y)
  y[setdiff(1:5, seq_along(y))] <- NA
  names(y) <- paste0("y", 1:5)
  data.frame(data = name, patient = seq_along(arm), arm = as.integer(arm), x = x, y)
}

trial <- read.csv("../../simtrials/datasets/antidepressant_trial.csv")
trial <- reshape(trial[c("patient", "arm", "hamd17_baseline", "visit", "change")], idvar = c("patient", "arm", "hamd17_baseline"),
                 timevar = "visit", direction = "wide")
growth <- reshape(as.data.frame(Orthodont), idvar = c("Subject", "Sex"), timevar = "age", direction = "wide")
growth <- growth[order(match(growth$Subject, unique(Orthodont$Subject))), ]
gone <- seq_len(nrow(growth)) %% 3 == 0                              # a gap is made: the second measure of every third child is left out
chicks <- reshape(as.data.frame(ChickWeight), idvar = c("Chick", "Diet"), timevar = "Time", direction = "wide")
chicks <- chicks[chicks$Diet %in% c(1, 4), ]

simulated <- function(seed, n, visits, lost, gap) {
  set.seed(seed)
  arm <- rep(0:1, length.out = n)
  x <- round(rnorm(n), 3)
  sigma <- outer(1 + 0.2 * seq_len(visits), 1 + 0.2 * seq_len(visits)) * 0.7^abs(outer(seq_len(visits), seq_len(visits), "-"))
  y <- round(matrix(rnorm(n * visits), n) %*% chol(sigma) + x - 0.4 * arm %o% seq_len(visits), 3)
  last <- rgeom(n, lost) + 1
  y[col(y) > last | matrix(runif(n * visits) < gap, n)] <- NA
  list(arm = arm, x = x, y = y)
}
small <- simulated(11, 40, 4, 0.08, 0)
gaps <- simulated(12, 60, 5, 0.03, 0.1)

sets <- rbind(
  wide("antidepressant", trial$arm == "drug", trial$hamd17_baseline, trial[4:7]),
  wide("small", small$arm, small$x, small$y),
  wide("gaps", gaps$arm, gaps$x, gaps$y),
  wide("growth", growth$Sex == "Male", NA, growth[3:6]),
  wide("growth_with_gaps", growth$Sex == "Male", NA, within(growth[3:6], distance.10[gone] <- NA)),
  wide("chicks", chicks$Diet == 4, chicks$weight.0, chicks[paste0("weight.", c(4, 8, 12, 16, 20))])
)
write.csv(sets, "mmrm_data.csv", row.names = FALSE, na = "", quote = FALSE)

weeks <- list(antidepressant = c(1, 2, 4, 6), growth = c(8, 10, 12, 14), growth_with_gaps = c(8, 10, 12, 14), chicks = c(4, 8, 12, 16, 20),
              small = 1:4, gaps = 1:5)
long <- function(name) {
  one <- sets[sets$data == name, ]
  visits <- length(weeks[[name]])
  tall <- data.frame(patient = factor(rep(one$patient, visits)), arm = rep(one$arm, visits), x = rep(one$x, visits),
                     visit = factor(rep(seq_len(visits), each = nrow(one))), week = rep(weeks[[name]], each = nrow(one)),
                     y = unlist(one[paste0("y", seq_len(visits))]))
  tall <- tall[!is.na(tall$y), ]
  tall[order(tall$patient, tall$visit), ]
}

values <- NULL
add <- function(data, covariance, means, contrast, method, estimate, std_error, df = NA) {
  values <<- rbind(values, data.frame(data, covariance, means, contrast, method, quantity = c("estimate", "std_error", "df"),
                                      value = sprintf("%.10g", c(estimate, std_error, df))))
}

fixed <- function(name, means) {
  if (all(is.na(sets$x[sets$data == name]))) return(y ~ 0 + visit + visit:arm)
  if (means == "common_slope") y ~ 0 + visit + visit:arm + x else y ~ 0 + visit + visit:arm + visit:x
}

contrasts_of <- function(names, visits) {
  arm <- grep(":arm$", names)
  unit <- function(weights) { l <- numeric(length(names)); l[arm] <- weights; l }
  list(last = unit(replace(numeric(visits), visits, 1)), second = unit(replace(numeric(visits), 2, 1)), mean = unit(rep(1 / visits, visits)))
}

structures <- c(unstructured = "us", toeplitz = "toeph", ar1_heterogeneous = "ar1h", ar1 = "ar1", compound_symmetry = "cs")

tightest <- function(model, ...) {                                   # the smallest relative change of the likelihood that the optimiser accepts
  for (digits in 14:9) {
    fit <- tryCatch(mmrm(model, ..., optimizer = "nlminb", optimizer_control = list(rel.tol = 10^-digits, iter.max = 1000, eval.max = 2000)),
                    error = function(e) NULL)
    if (!is.null(fit)) return(fit)
  }
  stop("no convergence")
}

add_mmrm <- function(name, covariance, means = "by_visit") {
  tall <- long(name)
  model <- update(fixed(name, means), as.formula(paste0(". ~ . + ", structures[[covariance]], "(visit | patient)")))
  for (method in c("Satterthwaite", "Kenward-Roger")) {
    fit <- tightest(model, data = tall, method = method, vcov = if (method == "Kenward-Roger") "Kenward-Roger-Linear")
    contrasts <- contrasts_of(names(coef(fit)), nlevels(tall$visit))
    for (contrast in names(contrasts)) {
      found <- df_1d(fit, contrasts[[contrast]])
      add(name, covariance, means, contrast, tolower(paste0("mmrm_", gsub("-", "_", method))), found$est, found$se, found$df)
    }
  }
}

add_gls <- function(name, covariance, means = "by_visit") {
  tall <- long(name)
  tall$place <- as.integer(tall$visit)
  correlation <- switch(covariance, unstructured = corSymm(form = ~ place | patient), compound_symmetry = corCompSymm(form = ~ place | patient),
                        corAR1(form = ~ place | patient))
  weights <- if (covariance %in% c("unstructured", "ar1_heterogeneous")) varIdent(form = ~ 1 | visit)
  fit <- tryCatch(gls(fixed(name, means), data = tall, correlation = correlation, weights = weights,
                      control = glsControl(tolerance = 1e-10, msTol = 1e-12, maxIter = 500, msMaxIter = 1000)), error = function(e) NULL)
  if (is.null(fit)) return(message("gls does not converge: ", name, ", ", covariance))
  contrasts <- contrasts_of(names(coef(fit)), nlevels(tall$visit))
  for (contrast in names(contrasts)) {
    l <- contrasts[[contrast]]
    add(name, covariance, means, contrast, "gls", sum(l * coef(fit)), sqrt(c(l %*% vcov(fit) %*% l)))
  }
}

add_lmer <- function(name, model, covariance, contrast, l) {
  tall <- long(name)
  fit <- lmer(model, data = tall, control = lmerControl(optimizer = "bobyqa", calc.derivs = FALSE, optCtrl = list(rhoend = 1e-10, maxfun = 1e5)))
  found <- contest1D(fit, l)
  add(name, covariance, "line", contrast, "lmer_satterthwaite", found$Estimate, found$`Std. Error`, found$df)
  adjusted <- contest1D(fit, l, ddf = "Kenward-Roger")
  add(name, covariance, "line", contrast, "lmer_kenward_roger", adjusted$Estimate, adjusted$`Std. Error`, adjusted$df)
}

for (name in c("antidepressant", "small", "gaps", "growth", "growth_with_gaps", "chicks")) {
  for (covariance in names(structures)) {
    add_mmrm(name, covariance)
    if (covariance != "toeplitz") add_gls(name, covariance)
  }
}
for (name in c("antidepressant", "gaps")) {
  for (covariance in names(structures)) add_mmrm(name, covariance, "common_slope")
}

lines_only <- y ~ week + arm + week:arm + (week | patient)
with_x <- y ~ week + arm + x + week:arm + (week | patient)
for (name in c("growth", "growth_with_gaps")) {
  add_lmer(name, lines_only, "random_slope", "slope", c(0, 0, 0, 1))
  add_lmer(name, lines_only, "random_slope", "last", c(0, 0, 1, 14))
}
for (name in c("antidepressant", "chicks")) {
  add_lmer(name, with_x, "random_slope", "slope", c(0, 0, 0, 0, 1))
  add_lmer(name, with_x, "random_slope", "last", c(0, 0, 1, 0, max(weeks[[name]])))
}
for (name in c("small", "growth_with_gaps")) {                       # a random intercept is compound symmetry with a positive covariance
  tall <- long(name)
  model <- update(fixed(name, "by_visit"), . ~ . + (1 | patient))
  columns <- colnames(model.matrix(fixed(name, "by_visit"), tall))
  add_lmer(name, model, "compound_symmetry", "last", contrasts_of(columns, nlevels(tall$visit))$last)
}

write.csv(values, "mmrm_values.csv", row.names = FALSE, quote = FALSE)
