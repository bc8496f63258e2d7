# Reference values for means, least squares, logistic regression and ranks, computed with R and written beside this script:
#   regression_data.csv    the data sets, one patient a line; arm 0 or 1, outcome y, covariates x1 to x3 (empty where a set has fewer)
#   regression_values.csv  what the methods return, with 15 digits
# Run as: Rscript make_regression.R   (R 4.2.2; brglm2 0.9, pROC 1.18.0, logistf 1.26.1)

library(brglm2)
library(pROC)
library(logistf)

columns <- function(name, arm, y, ...) {
  covariates <- list(...)
  covariates[setdiff(1:3, seq_along(covariates))] <- NA
  data.frame(data = name, arm = as.integer(arm), y = y, x1 = covariates[[1]], x2 = covariates[[2]], x3 = covariates[[3]])
}

data(endometrial, package = "brglm2")
sets <- list(
  sleep = with(sleep, columns("sleep", group == 2, extra)),
  tooth = with(ToothGrowth, columns("tooth", supp == "OJ", len, dose)),
  cars = with(mtcars, columns("cars", am, mpg, wt, hp, qsec)),
  infert = with(infert, columns("infert", spontaneous > 0, case, age, parity, induced)),
  gears = with(mtcars, columns("gears", vs, am, wt)),
  endometrial = with(endometrial, columns("endometrial", NV, HG, PI, EH))
)

values <- NULL
add <- function(data, method, tested, quantity, value) {
  values <<- rbind(values, data.frame(data, method, tested, quantity, value = sprintf("%.15g", value)))
}

add_t <- function(name, pooled) {
  test <- with(sets[[name]], t.test(y[arm == 1], y[arm == 0], var.equal = pooled))
  method <- if (pooled) "pooled" else "welch"
  add(name, method, 0, "estimate", test$estimate[1] - test$estimate[2])
  add(name, method, 0, "std_error", test$stderr)
  add(name, method, 0, "df", test$parameter)
  add(name, method, 0, "p_value", test$p.value)
}

add_linear <- function(name, formula) {
  table <- coef(summary(fit <- lm(formula, sets[[name]])))[-1, ]
  for (k in seq_len(nrow(table))) {
    add(name, "linear", k - 1, "estimate", table[k, 1])
    add(name, "linear", k - 1, "std_error", table[k, 2])
    add(name, "linear", k - 1, "df", fit$df.residual)
    add(name, "linear", k - 1, "p_value", table[k, 4])
  }
}

add_logistic <- function(name, formula) {
  tight <- glm.control(epsilon = 1e-15, maxit = 100)
  table <- coef(summary(fit <- glm(formula, binomial, sets[[name]], control = tight)))[-1, , drop = FALSE]
  terms <- attr(terms(formula), "term.labels")
  for (k in seq_len(nrow(table))) {
    null <- glm(update(formula, paste(". ~ . -", terms[k])), binomial, sets[[name]], control = tight)
    add(name, "logistic", k - 1, "estimate", table[k, 1])
    add(name, "logistic", k - 1, "std_error", table[k, 2])
    add(name, "logistic", k - 1, "likelihood_ratio", null$deviance - fit$deviance)
  }
}

add_firth <- function(name, formula) {
  fit <- glm(formula, binomial, sets[[name]], method = "brglmFit", type = "AS_mean", epsilon = 1e-12, maxit = 1000)
  table <- coef(summary(fit))[-1, , drop = FALSE]
  tight <- logistf.control(maxit = 1000, lconv = 1e-14, gconv = 1e-10, xconv = 1e-10)
  heinze <- do.call(logistf, list(formula, sets[[name]], control = tight, pl = FALSE))
  terms <- attr(terms(formula), "term.labels")
  for (k in seq_len(nrow(table))) {
    ratio <- logistftest(heinze, as.formula(paste("~", terms[k], "- 1")))
    add(name, "firth", k - 1, "estimate", table[k, 1])
    add(name, "firth", k - 1, "std_error", table[k, 2])
    add(name, "firth", k - 1, "estimate_of_logistf", heinze$coefficients[k + 1])
    add(name, "firth", k - 1, "likelihood_ratio", 2 * (ratio$loglik["full"] - ratio$loglik["null"]))
  }
}

add_ranks <- function(name) {
  with(sets[[name]], {
    for (corrected in c(FALSE, TRUE)) {
      test <- suppressWarnings(wilcox.test(y[arm == 1], y[arm == 0], exact = FALSE, correct = corrected))
      add(name, if (corrected) "wilcoxon_corrected" else "wilcoxon", 0, "u", test$statistic)
      add(name, if (corrected) "wilcoxon_corrected" else "wilcoxon", 0, "p_value", test$p.value)
    }
    curve <- roc(arm, y, direction = "<", quiet = TRUE)
    add(name, "placements", 0, "probability_index", auc(curve))
    add(name, "placements", 0, "std_error", sqrt(pROC::var(curve, method = "delong")))
  })
}

for (name in c("sleep", "tooth", "cars")) for (pooled in c(TRUE, FALSE)) add_t(name, pooled)
add_linear("tooth", y ~ arm + x1)
sets$tooth_interaction <- sets$tooth
add_linear("tooth_interaction", y ~ arm + x1 + arm:x1)
sets$tooth_interaction <- NULL
add_linear("cars", y ~ arm + x1 + x2 + x3)
add_logistic("infert", y ~ arm + x1 + x2 + x3)
add_logistic("gears", y ~ arm + x1)
for (name in c("infert", "gears")) add_firth(name, if (name == "gears") y ~ arm + x1 else y ~ arm + x1 + x2 + x3)
add_firth("endometrial", y ~ arm + x1 + x2)
for (name in c("sleep", "tooth", "cars", "infert")) add_ranks(name)
for (df in c(1, 2.5, 10, 198, 1e6, Inf)) for (alpha in c(0.05, 0.001, 1e-8)) {
  add("t", format(df), alpha, "critical", qt(alpha / 2, df, lower.tail = FALSE))
}
for (statistic in c(0.3, 1.96, 12)) for (df in c(1, 7.3, 198, Inf)) add("t", format(df), statistic, "p_value", 2 * pt(-statistic, df))

write.csv(do.call(rbind, sets), "regression_data.csv", row.names = FALSE, na = "", quote = FALSE)
write.csv(values, "regression_values.csv", row.names = FALSE, quote = FALSE)
