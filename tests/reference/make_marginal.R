# Reference values for marginal effects after logistic regression, Mantel-Haenszel methods, log-linear regression of risks and Bayesian
# analyses, computed with R and written beside this script:
#   marginal_data.csv     the data sets, one patient a line: arm 0 or 1, outcome y, stratum from 0 on, covariates x1 to x3 (empty where fewer)
#   marginal_tables.csv   stratified tables of counts
#   marginal_betas.csv    probabilities that one beta variable exceeds another by more than a threshold
#   marginal_values.csv   what the methods return, with 15 digits
# Run as: Rscript make_marginal.R   (R 4.2.2; metafor 3.8-1, sandwich 3.0-2, MASS 7.3-58, beeca 0.2.0, RobinCar2 0.2.3.9000)

suppressMessages({
  library(beeca)
  library(RobinCar2)
  library(metafor)
  library(sandwich)
})

columns <- function(name, arm, y, stratum, ...) {
  covariates <- list(...)
  covariates[setdiff(1:3, seq_along(covariates))] <- NA
  data.frame(
    data = name, arm = as.integer(arm), y = as.integer(y), stratum = as.integer(factor(stratum)) - 1L,
    x1 = covariates[[1]], x2 = covariates[[2]], x3 = covariates[[3]]
  )
}

sets <- list(
  infert = with(infert, columns("infert", spontaneous > 0, case, education, age, parity, induced)),
  births = with(MASS::birthwt, columns("births", smoke, low, race, age, lwt / 100)),
  bacteria = with(MASS::bacteria, columns("bacteria", ap == "a", y == "n", week, week, hilo == "hi"))
)
tight <- glm.control(epsilon = 1e-100, maxit = 200) # until the deviance stands still

values <- NULL
add <- function(data, method, quantity, value) {
  values <<- rbind(values, data.frame(data, method, quantity, value = sprintf("%.15g", value)))
}

# the covariates of a set, as a formula's right-hand side
model <- function(set, treatment) {
  names <- Filter(function(name) !anyNA(set[[name]]), c("x1", "x2", "x3"))
  paste("y ~", paste(c(treatment, names), collapse = " + "))
}

# marginal effects: Ge's variance and RobinCar's of type "decomposed" from beeca, that of Ye et al. from beeca too (mod = TRUE)
add_marginal <- function(name) {
  set <- sets[[name]]
  set$arm <- factor(set$arm)
  fit <- glm(as.formula(model(set, "arm")), binomial, set, control = tight)
  for (contrast in c("diff", "logrr", "logor")) {
    for (kind in c("ge", "ye", "ye_decomposed")) {
      effect <- get_marginal_effect(
        fit, trt = "arm", method = if (kind == "ge") "Ge" else "Ye", type = "model-based", mod = kind == "ye", contrast = contrast, reference = "0"
      )
      add(name, kind, paste0(contrast, "_std_error"), effect$marginal_se)
    }
    add(name, "marginal", contrast, effect$marginal_est)
  }
  formula <- as.formula(model(set, "arm"))
  for (decompose in c(FALSE, TRUE)) {
    robin <- robin_glm(formula, set, arm ~ 1, "log_odds_ratio", family = binomial(), vcov_args = list(decompose = decompose), control = tight)
    add(name, "robincar2", if (decompose) "logor_decomposed_std_error" else "logor_std_error", sqrt(robin$contrast$variance[1, 1]))
  }
}

# Mantel-Haenszel, from the tables of the strata
tables <- NULL
add_stratified <- function(name, events_active, n_active, events_control, n_control) {
  storage.mode(events_active) <- storage.mode(n_active) <- storage.mode(events_control) <- storage.mode(n_control) <- "double"
  table <- data.frame(data = name, events_active, n_active, events_control, n_control)
  tables <<- rbind(tables, table)
  for (measure in c("RD", "RR", "OR")) {
    fit <- suppressWarnings(rma.mh(ai = events_active, n1i = n_active, ci = events_control, n2i = n_control, measure = measure))
    add(name, "rma.mh", paste0(measure, "_estimate"), fit$beta[1])
    add(name, "rma.mh", paste0(measure, "_std_error"), fit$se)
  }
  p1 <- events_active / n_active
  p0 <- events_control / n_control
  weight <- n_active * n_control / (n_active + n_control)
  within <- p1 * (1 - p1) / n_active + p0 * (1 - p0) / n_control
  add(name, "greenland_robins", "RD_std_error", sqrt(sum(weight^2 * within)) / sum(weight))
  cells <- array(rbind(events_active, events_control, n_active - events_active, n_control - events_control), c(2, 2, length(n_active)))
  for (correct in c(FALSE, TRUE)) {
    test <- mantelhaen.test(cells, correct = correct)
    add(name, if (correct) "mantelhaen_corrected" else "mantelhaen", "chi_squared", test$statistic)
    add(name, if (correct) "mantelhaen_corrected" else "mantelhaen", "p_value", test$p.value)
  }
  add(name, "mantelhaen", "odds_ratio", test$estimate)
}

add_stratified_set <- function(name) {
  counts <- function(code, f) with(subset(sets[[name]], arm == code), as.vector(tapply(y, factor(stratum, 0:9), f)))
  some <- !is.na(counts(1, length)) & !is.na(counts(0, length))
  add_stratified(name, counts(1, sum)[some], counts(1, length)[some], counts(0, sum)[some], counts(0, length)[some])
}

# log-linear regression
add_log_linear <- function(name, binomial_too) {
  formula <- as.formula(model(sets[[name]], "arm"))
  fit <- glm(formula, poisson, sets[[name]], control = tight)
  for (tested in seq_along(coef(fit)[-1])) {
    add(name, "poisson", paste0("estimate_", tested - 1), coef(fit)[tested + 1])
    for (type in c("HC0", "HC1")) add(name, "poisson", paste0(type, "_", tested - 1), sqrt(vcovHC(fit, type)[tested + 1, tested + 1]))
  }
  add(name, "poisson", "naive_std_error_0", sqrt(vcov(fit)[2, 2]))
  if (binomial_too) {
    start <- c(log(mean(sets[[name]]$y)), rep(0, length(coef(fit)) - 1))
    fit <- glm(formula, binomial("log"), sets[[name]], control = tight, start = start)
    stopifnot(fit$converged, !fit$boundary, max(fitted(fit)) < 1)
    for (tested in seq_along(coef(fit)[-1])) {
      add(name, "log_binomial", paste0("estimate_", tested - 1), coef(fit)[tested + 1])
      add(name, "log_binomial", paste0("std_error_", tested - 1), sqrt(vcov(fit)[tested + 1, tested + 1]))
    }
  }
}

# P(X1 - X0 > threshold), integrated piece by piece between quantiles of X1
exceeds <- function(a1, b1, a0, b0, threshold) {
  cuts <- qbeta(c(0, 1e-13, 1e-6, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 1 - 1e-6, 1 - 1e-13, 1), a1, b1)
  cuts <- sort(unique(c(cuts, pmin(pmax(c(threshold, 1 + threshold), 0), 1))))
  piece <- function(k) {
    integrate(function(x) dbeta(x, a1, b1) * pbeta(x - threshold, a0, b0), cuts[k], cuts[k + 1], rel.tol = 1e-12, abs.tol = 1e-15, subdivisions = 1000L)$value
  }
  sum(sapply(seq_len(length(cuts) - 1), piece))
}
betas <- rbind(
  c(14.5, 10, 12, 37, 0), c(14.5, 10, 12, 37, 0.2), c(1, 1, 1, 1, 0), c(3, 9, 8, 4, -0.1), c(31, 71, 41, 61, 0), c(120, 380, 100, 400, 0.01),
  c(1, 51, 4, 48, 0), c(2.5, 40, 1000, 9000, 0), c(40, 60, 35, 65, -0.15)
)
betas <- data.frame(a1 = betas[, 1], b1 = betas[, 2], a0 = betas[, 3], b0 = betas[, 4], threshold = betas[, 5])
betas$probability <- sprintf("%.13f", mapply(exceeds, betas$a1, betas$b1, betas$a0, betas$b0, betas$threshold))

# effective sample sizes: R differentiates the densities, which are written as expressions
mean_curvature <- function(density, information, lower, upper) {
  slope <- D(density, "x")
  bend <- D(slope, "x")
  inside <- function(x) (eval(slope)^2 / eval(density) - eval(bend)) / information(x)
  integrate(inside, lower, upper, rel.tol = 1e-11, subdivisions = 1000L)$value
}
add_bayes <- function() {
  beta_density <- bquote(.(0.3 / beta(3, 4)) * x^2 * (1 - x)^3 + .(0.7 / beta(11, 32)) * x^10 * (1 - x)^31)
  add("betas", "elir", "sample_size", mean_curvature(beta_density, function(x) 1 / (x * (1 - x)), 0, 1))
  normal_density <- quote((0.4 / 2 * exp(-((x + 1) / 2)^2 / 2) + 0.6 / 0.8 * exp(-((x - 2) / 0.8)^2 / 2)) / sqrt(2 * pi))
  add("normals", "elir", "sample_size", mean_curvature(normal_density, function(x) 1 / 36, -20, 20))
  evidence <- function(density, data) integrate(function(x) density(x) * data(x), 0, 1, rel.tol = 1e-12)$value
  likelihood <- function(x) dbinom(9, 20, x)
  parts <- c(0.3 * evidence(function(x) dbeta(x, 3, 4), likelihood), 0.7 * evidence(function(x) dbeta(x, 11, 32), likelihood))
  add("betas", "posterior", "weight_of_first", parts[1] / sum(parts))
  test <- with(sleep, t.test(extra[group == 2], extra[group == 1], alternative = "greater", var.equal = TRUE))
  add("sleep", "t", "p_value", test$p.value)
}

for (name in names(sets)) {
  add_marginal(name)
  add_stratified_set(name)
  add_log_linear(name, name != "infert")
}
with(dat.bcg, add_stratified("bcg", tpos, tpos + tneg, cpos, cpos + cneg))
with(dat.nielweise2007, add_stratified("catheters", ai, n1i, ci, n2i))
add_stratified("berkeley", UCBAdmissions[1, 1, ], colSums(UCBAdmissions[, 1, ]), UCBAdmissions[1, 2, ], colSums(UCBAdmissions[, 2, ]))
add_bayes()

write.csv(do.call(rbind, sets), "marginal_data.csv", row.names = FALSE, na = "", quote = FALSE)
write.csv(tables, "marginal_tables.csv", row.names = FALSE, quote = FALSE)
write.csv(betas, "marginal_betas.csv", row.names = FALSE, quote = FALSE)
write.csv(values, "marginal_values.csv", row.names = FALSE, quote = FALSE)
