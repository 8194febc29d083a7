@echo off
rem Double-click: checks sereno.toml, brings its services up, and lets them start at every log-on.
rem
rem   install_services.cmd [sereno.toml]      or drop a sereno.toml on it; else the one beside it
rem   install_services.cmd /remove [...]      not at log-on any more; what runs goes on ("ctl down" ends it)
rem
rem ctl.exe is looked for beside this file, then in PATH. Nothing here needs an administrator.
setlocal
chcp 65001 >nul 2>nul
set "WHAT=install"
if /i "%~1"=="/remove" (
    set "WHAT=remove"
    shift /1
)
set "FILE=%~1"
if not defined FILE set "FILE=%~dp0sereno.toml"
set "CTL=%~dp0ctl.exe"
if not exist "%CTL%" set "CTL=ctl.exe"
"%CTL%" --version >nul 2>nul
if errorlevel 1 (
    echo ctl.exe is neither beside this file nor in PATH: copy ctl.exe, supervisor.exe, health-monitor.exe and port-monitor.exe here.
    goto failed
)
if not exist "%FILE%" (
    echo There is no %FILE%: write one ^("ctl init" makes a first one^), or drop one on this file.
    goto failed
)
if "%WHAT%"=="remove" (
    "%CTL%" -f "%FILE%" startup remove
    if errorlevel 1 goto failed
    goto done
)
"%CTL%" -f "%FILE%" check
if errorlevel 1 goto failed
"%CTL%" -f "%FILE%" up -d --wait
if errorlevel 1 goto failed
"%CTL%" -f "%FILE%" startup install
if errorlevel 1 goto failed
echo.
"%CTL%" -f "%FILE%" status
:done
echo.
pause
exit /b 0
:failed
echo.
echo Not done: see above.
pause
exit /b 1
