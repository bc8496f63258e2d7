# Reference values for multiple imputation and conditional means, computed with R and written beside this script:
#   imputation_data.csv    a made-up trial, one patient a line: arm 0 or 1, baseline, visits y1 to y4 (empty after dropout)
#   imputation_values.csv  what the methods return, with 15 digits
# Run as: Rscript make_imputation.R   (R 4.2.2; mice 3.15.0, nlme 3.1-162)

suppressPackageStartupMessages(library(mice))
library(nlme)

values <- NULL
add <- function(data, method, number, quantity, value) {
  values <<- rbind(values, data.frame(data, method, number, quantity, value = sprintf("%.15g", value)))
}

# Rubin's rules: mice on its own data, and a small case with few degrees of freedom
add_pooled <- function(name, estimates, std_errors, df, pooled) {
  for (i in seq_along(estimates)) {
    add(name, "analysis", i, "estimate", estimates[i])
    add(name, "analysis", i, "std_error", std_errors[i])
  }
  add(name, "analysis", 0, "df", df)
  for (quantity in c("qbar", "ubar", "b", "t", "df")) add(name, "pool", 0, quantity, pooled[[quantity]])
}

imputed <- mice(nhanes, m = 20, method = "norm", seed = 20, printFlag = FALSE)
fits <- with(imputed, lm(chl ~ age + bmi))
table <- as.data.frame(pool(fits)$pooled)
for (k in 2:3) {
  estimates <- sapply(fits$analyses, function(fit) coef(fit)[k])
  std_errors <- sapply(fits$analyses, function(fit) sqrt(vcov(fit)[k, k]))
  row <- table[k, ]
  add_pooled(paste0("nhanes_", row$term), estimates, std_errors, row$dfcom, c(list(qbar = row$estimate), as.list(row[c("ubar", "b", "t", "df")])))
}
few <- list(estimates = c(2.1, 3.4, 1.2), std_errors = c(1.0, 1.3, 0.9))
for (df in c(7, 40, Inf)) {
  n <- if (is.finite(df)) df + 2 else Inf
  pooled <- pool.scalar(few$estimates, few$std_errors^2, n = n, k = if (is.finite(df)) 2 else 1)
  add_pooled(paste0("few_", df), few$estimates, few$std_errors, df, pooled)
}

# A trial with dropout that depends on the visit before
set.seed(48)
n <- 48
arm <- rep(0:1, n / 2)
base <- round(rnorm(n, 28, 4), 1)
person <- rnorm(n, 0, 3)
y <- sapply(1:4, function(t) round(0.7 * base + person - (1.2 + 0.8 * arm) * t + rnorm(n, 0, 1.5 + 0.3 * t), 1))
for (t in 2:4) y[is.na(y[, t - 1]) | runif(n) < plogis(-2 + 0.15 * (y[, t - 1] - 16)), t] <- NA
trial <- data.frame(arm, baseline = base, y)
names(trial)[3:6] <- paste0("y", 1:4)
write.csv(trial, "imputation_data.csv", row.names = FALSE, na = "", quote = FALSE)

long <- function(rows) {
  wide <- trial[rows, ]
  data <- data.frame(id = rep(rows, each = 4), t = rep(1:4, length(rows)), arm = rep(wide$arm, each = 4), base = rep(wide$baseline, each = 4),
                     y = c(t(as.matrix(wide[, 3:6]))))
  data <- data[!is.na(data$y), ]
  data$visit <- factor(data$t)
  data
}

tight <- glsControl(maxIter = 500, msMaxIter = 1000, tolerance = 1e-12, msTol = 1e-12, opt = "nlminb", returnObject = TRUE)

fit_model <- function(rows, with_arm) {
  formula <- if (with_arm) y ~ 0 + visit + visit:arm + visit:base else y ~ 0 + visit + visit:base
  gls(formula, long(rows), correlation = corSymm(form = ~ t | id), weights = varIdent(form = ~ 1 | visit), method = "REML", control = tight)
}

covariance <- function(fit) {
  spread <- coef(fit$modelStruct$varStruct, unconstrained = FALSE, allCoef = TRUE)[as.character(1:4)] * fit$sigma
  full <- diag(4)
  full[lower.tri(full)] <- coef(fit$modelStruct$corStruct, unconstrained = FALSE)
  full <- full + t(full) - diag(4)
  full * outer(spread, spread)
}

means <- function(fit, arm, base) {
  b <- coef(fit)
  pick <- function(suffix) ifelse(is.na(b[paste0("visit", 1:4, suffix)]), 0, b[paste0("visit", 1:4, suffix)])
  pick("") + pick(":arm") * arm + pick(":base") * base
}

# mean and covariance of one patient who leaves the trial before visit d (Carpenter, Roger and Kenward 2013, section 4.3)
joint <- function(own, reference, d, assumption) {
  if (assumption == "missing_at_random") return(own)
  if (assumption == "copy_reference" || d == 1) return(reference)
  i <- seq_len(d - 1)
  mu <- own$mu
  mu[-i] <- reference$mu[-i] + if (assumption == "copy_increments") own$mu[d - 1] - reference$mu[d - 1] else 0
  slope <- reference$s[-i, i, drop = FALSE] %*% solve(reference$s[i, i])
  s <- own$s
  s[-i, i] <- slope %*% own$s[i, i]
  s[i, -i] <- t(s[-i, i])
  s[-i, -i] <- reference$s[-i, -i] - slope %*% (reference$s[i, i] - own$s[i, i]) %*% t(slope)
  list(mu = mu, s = s)
}

effects <- function(rows, shared, fits) {
  wide <- trial[rows, ]
  sapply(c("missing_at_random", "jump_to_reference", "copy_increments", "copy_reference"), function(assumption) {
    last <- wide$y4
    for (p in which(is.na(last))) {
      observed <- unlist(wide[p, 3:6])
      d <- which(is.na(observed))[1]
      each <- lapply(0:1, function(a) {
        fit <- if (shared) fits[[1]] else fits[[a + 1]]
        list(mu = means(fit, a, wide$baseline[p]), s = covariance(fit))
      })
      model <- if (wide$arm[p] == 1) joint(each[[2]], each[[1]], d, assumption) else each[[1]]
      seen <- !is.na(observed)
      last[p] <- model$mu[4] + if (any(seen)) model$s[4, seen] %*% solve(model$s[seen, seen], observed[seen] - model$mu[seen]) else 0
    }
    unname(coef(lm(last ~ wide$arm + wide$baseline))[2])
  })
}

fits_of <- function(rows, shared, known = NULL, changed = 0:1) {
  if (shared) return(list(fit_model(rows, TRUE)))
  lapply(0:1, function(a) if (a %in% changed) fit_model(rows[trial$arm[rows] == a], FALSE) else known[[a + 1]])
}

for (shared in c(TRUE, FALSE)) {
  name <- if (shared) "shared" else "by_arm"
  all_fits <- fits_of(1:n, shared)
  add(name, "mixed_model", 0, "log_likelihood", sum(sapply(all_fits, logLik)))
  found <- effects(1:n, shared, all_fits)
  without <- sapply(1:n, function(p) effects((1:n)[-p], shared, fits_of((1:n)[-p], shared, all_fits, arm[p])))
  for (assumption in names(found)) {
    left_out <- without[assumption, ]
    add(name, assumption, 0, "estimate", found[[assumption]])
    add(name, assumption, 0, "std_error", sqrt((n - 1) / n * sum((left_out - mean(left_out))^2)))
  }
  if (shared) add(name, "mixed_model", 0, "estimate", coef(all_fits[[1]])[["visit4:arm"]])
}

write.csv(values, "imputation_values.csv", row.names = FALSE, quote = FALSE)
